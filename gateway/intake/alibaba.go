package intake

import (
	"crypto/sha256"
	"regexp"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// KindAlibaba is the kind of connector that reads the triggers of Alibaba Cloud
// Container Registry, Personal and Enterprise Edition, which report pushes only.
const KindAlibaba = "alibaba"

const (
	alibabaTime   = "2006-01-02 15:04:05"
	alibabaOffset = 8 * 60 * 60 // its clock is China's, and does not say so
)

// alibabaHost has a region in it: registry.<region>.aliyuncs.com, and
// <instance>-registry.<region>.cr.aliyuncs.com of an instance of one's own.
var alibabaHost = regexp.MustCompile(`^[a-z0-9-]+\.([a-z0-9-]+)\.(?:(?:personal\.)?cr\.)?aliyuncs\.com(?::[0-9]+)?$`)

func alibabaFormat() format {
	return format{kind: KindAlibaba, parse: parseAlibaba, types: isJSON, secret: inURL, weak: weakURL}
}

type alibabaPush struct {
	Data *struct {
		Digest   string `json:"digest"`
		PushedAt string `json:"pushed_at"`
		Tag      string `json:"tag"`
	} `json:"push_data"`
	Repository *struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
		Region    string `json:"region"`
		FullName  string `json:"repo_full_name"`
	} `json:"repository"`
}

// parseAlibaba reads a push. It has no id: what is pushed where and in which second
// makes it one event.
func parseAlibaba(m message) (batch, error) {
	var in alibabaPush
	const want = `{"push_data":{"digest":…,"pushed_at":…,"tag":…},"repository":{"repo_full_name":…}}, a trigger of Alibaba Cloud Container Registry`
	if err := decode(m.raw, &in, want); err != nil {
		return batch{}, err
	}
	if err := marked(want, in.Data != nil, in.Repository != nil); err != nil {
		return batch{}, err
	}
	if in.Data.PushedAt == "" || in.Repository.FullName == "" {
		return batch{}, provenance.Errorf(provenance.Invalid, "body: want %s", want)
	}
	if at := alibabaHost.FindStringSubmatch(string(m.connector.Host)); at != nil && in.Repository.Region != "" && in.Repository.Region != at[1] {
		return ignoring(ignoredElsewhere), nil
	}
	at, err := time.ParseInLocation(alibabaTime, in.Data.PushedAt, time.FixedZone("", alibabaOffset))
	if err != nil {
		at = m.now
	}
	name := strings.ToLower(in.Repository.FullName) // its console keeps the spelling, the registry does not
	key := []string{name, in.Data.Tag, in.Data.Digest, in.Data.PushedAt}
	c := report{
		action: provenance.Push, resolve: true, id: m.id(key...), atTime: at,
		repository: value{"repository.repo_full_name", name}, tag: value{"push_data.tag", in.Data.Tag}, digest: value{"push_data.digest", in.Data.Digest},
	}
	out := newBatch()
	if err := out.add(m, c, sha256.Sum256([]byte(strings.Join(key, "\x1f")))); err != nil {
		return batch{}, err
	}
	return out, nil
}
