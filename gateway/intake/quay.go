package intake

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// KindQuay is the kind of connector that reads Quay's repo_push webhooks.
const KindQuay = "quay"

func quayFormat() format {
	return format{kind: KindQuay, parse: parseQuay, types: isJSON, secret: inURL, weak: weakURL}
}

// parseQuay reads event_data, which is all that Quay sends: no id, time, digest
// or actor, and not even the event's name. Other events than a push know
// no updated_tags and are acknowledged: three problems would switch the hook off.
func parseQuay(m message) (batch, error) {
	var in struct {
		Repository  string          `json:"repository"`
		Namespace   string          `json:"namespace"`
		Name        string          `json:"name"`
		DockerURL   string          `json:"docker_url"`
		Homepage    string          `json:"homepage"`
		UpdatedTags json.RawMessage `json:"updated_tags"`
	}
	const want = `{"repository":…,"namespace":…,"name":…,"docker_url":…}, a Quay notification`
	if err := decode(m.raw, &in, want); err != nil {
		return batch{}, err
	}
	if in.Repository == "" && in.DockerURL == "" && in.Name == "" && in.Namespace != "" && strings.HasSuffix(in.Homepage, "/organization/"+in.Namespace) {
		return ignoring(ignoredOther), nil // about an organisation, as its quota
	}
	if err := marked(want, in.Repository != "", in.DockerURL != ""); err != nil {
		return batch{}, err
	}
	if in.Repository != in.Namespace+"/"+in.Name {
		return batch{}, provenance.Errorf(provenance.Invalid, "body: want %s", want)
	}
	tags, err := quayTags(in.UpdatedTags)
	if err != nil {
		return batch{}, err
	}
	if len(tags) == 0 {
		return ignoring(ignoredOther), nil
	}
	body, err := hashJSON(m.raw)
	if err != nil {
		return batch{}, err
	}
	out := newBatch()
	for i, tag := range tags {
		// Two pushes of one tag have the same bytes, and what the tag names is
		// not known yet: every delivery is news, but one whose sender had no
		// answer (see Delivery.Unresolved).
		key := in.Repository + "\x1f" + tag
		since := m.dedup.again(key, body, m.now)
		out.retryKeys = append(out.retryKeys, key)
		c := report{
			action: provenance.Push, resolve: true,
			id:         m.id("body", hex.EncodeToString(body[:]), tag, since.Format(time.RFC3339Nano)),
			repository: value{"repository", in.Repository}, tag: value{fmt.Sprintf("updated_tags[%d]", i), tag},
		}
		out.outcome(m, out.add(m, c, body))
	}
	return out, nil
}

// quayTags reads updated_tags: a list, or in old versions a map by tag.
func quayTags(raw json.RawMessage) ([]string, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	wrong := provenance.Errorf(provenance.Invalid, "updated_tags: want a list of tags, each once, at most %d", maxEvents)
	var tags []string
	if raw[0] == '{' {
		var byTag map[string]json.RawMessage
		if err := json.Unmarshal(raw, &byTag); err != nil {
			return nil, wrong
		}
		tags = slices.Sorted(maps.Keys(byTag))
	} else {
		list, err := entries(raw, "updated_tags")
		if err != nil {
			return nil, wrong
		}
		tags = make([]string, len(list))
		for i, one := range list {
			if err := json.Unmarshal(one, &tags[i]); err != nil {
				return nil, wrong
			}
		}
	}
	seen := map[string]bool{}
	for _, tag := range tags {
		if tag == "" || seen[tag] {
			return nil, wrong
		}
		seen[tag] = true
	}
	if len(tags) > maxEvents {
		return nil, wrong
	}
	return tags, nil
}
