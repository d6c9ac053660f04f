package intake

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Sample makes the request with which a connector's sender would report a
// push, proved with the connector's first secret, for an operator who tries a
// connector out. gateway is the address before /hooks/. The gateway takes it
// for real: name an image that is in the registry. Of the push, Repository, Tag,
// Digest, Actor, OccurredAt and (as the sender's own id, so that two samples are
// two events) ID count; kinds that report no digest leave it out.
//
// Errors are Invalid: a kind whose proof only its cloud can make (gar, or Event
// Grid with tokens), or an image that the kind could not have reported.
func Sample(ctx context.Context, c Connector, gateway string, push provenance.Event) (*http.Request, error) {
	f, ok := formatOf(c.Kind)
	if !ok {
		return nil, provenance.Errorf(provenance.Invalid, "connector %q: kind %q is not known", c.Name, c.Kind)
	}
	if len(c.Secrets) == 0 {
		return nil, provenance.Errorf(provenance.Invalid, "connector %q: its sender proves itself with tokens that only its cloud can sign", c.Name)
	}
	body, headers, err := sampleBody(c, push)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "sample of kind %s", c.Kind)
	}
	address := strings.TrimSuffix(gateway, "/") + Prefix + c.Name
	if f.secret&inURL != 0 {
		address += "/" + string(c.Secrets[0])
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(raw))
	if err != nil {
		return nil, provenance.Errorf(provenance.Invalid, "gateway %q is not an address", gateway) // err would print the secret
	}
	r.Header.Set("Content-Type", "application/json")
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	switch {
	case f.sign != nil:
		f.sign.apply(r.Header, c.Secrets[0], raw, push.OccurredAt)
	case f.secret&inURL == 0:
		r.Header.Set("Authorization", "Bearer "+string(c.Secrets[0]))
	}
	return r, nil
}

// apply signs a body as its sender would.
func (g *signature) apply(h http.Header, secret, raw []byte, now time.Time) {
	stamp := ""
	if g.stamped {
		stamp = strconv.FormatInt(now.Unix(), 10)
		h.Set(TimestampHeader, stamp)
	}
	h.Set(g.header, g.prefix+hex.EncodeToString(g.sum(secret, stamp, raw)))
}

type object = map[string]any

// sampleBody is a push in the words of a kind, and the headers beside it.
func sampleBody(c Connector, e provenance.Event) (body any, headers map[string]string, err error) {
	id, at, repo, tag, digest := e.ID.String(), e.OccurredAt.UTC().Format(time.RFC3339Nano), string(e.Repository), string(e.Tag), e.Digest.String()
	reference := tag
	if reference == "" {
		reference = digest
	}
	owner, name, nested := strings.Cut(repo, "/")
	switch c.Kind {
	case KindQuay, KindGHCR, KindGitea, KindAlibaba:
		if !nested {
			return nil, nil, provenance.Errorf(provenance.Invalid, "repository %q: %s has owner and name in it", repo, c.Kind)
		}
	}
	switch c.Kind {
	case KindQuay, KindDockerHub, KindNexus, KindGitea:
		if tag == "" {
			return nil, nil, provenance.Errorf(provenance.Invalid, "a sample of kind %s needs a tag: it reports no digest", c.Kind)
		}
	}
	registry := object{"id": id, "timestamp": at, "action": "push", "target": object{"repository": repo, "tag": tag, "digest": digest}, "actor": object{"name": e.Actor}}
	switch c.Kind {
	case KindDistribution, KindGitLab:
		return object{"events": []any{registry}}, nil, nil
	case KindHarbor:
		return object{"type": "PUSH_ARTIFACT", "occur_at": e.OccurredAt.Unix(), "operator": e.Actor, "sample": id, "event_data": object{
			"resources":  []any{object{"digest": digest, "tag": reference}},
			"repository": object{"repo_full_name": repo},
		}}, nil, nil
	case KindZot:
		prefix := c.TypePrefix
		if prefix == "" {
			prefix = zotPrefix
		}
		return object{"name": repo, "reference": reference, "digest": digest, "actor": object{"name": e.Actor}}, map[string]string{
			"Ce-Specversion": "1.0", "Ce-Id": id, "Ce-Source": c.origin(), "Ce-Type": prefix + ".image.updated", "Ce-Time": at,
		}, nil
	case KindQuay:
		return object{"repository": repo, "namespace": owner, "name": name, "docker_url": string(c.Host) + "/" + repo, "updated_tags": []string{tag}}, nil, nil
	case KindGHCR:
		return object{"action": "published", "sender": object{"login": e.Actor}, "registry_package": object{
				"name": name, "namespace": owner, "package_type": "CONTAINER", "updated_at": at,
				"package_version": object{"container_metadata": object{"tag": object{"name": tag}, "manifest": object{"digest": digest}}},
			}}, map[string]string{
				"X-GitHub-Event": "registry_package", "X-GitHub-Delivery": id,
			}, nil
	case KindDockerHub:
		return object{"push_data": object{"pushed_at": e.OccurredAt.Unix(), "pusher": e.Actor, "tag": tag}, "repository": object{"repo_name": repo}}, nil, nil
	case KindArtifactory:
		key, image, err := c.storage(e.Repository)
		return object{"domain": "docker", "event_type": "pushed", "sample": id, "data": object{
			"repo_key": key, "path": image + "/" + tag + "/manifest.json", "image_name": path.Base(image), "tag": tag,
			"sha256": strings.TrimPrefix(digest, "sha256:"), "name": "manifest.json",
		}}, nil, err
	case KindNexus:
		key, image, err := c.storage(e.Repository)
		return object{
				"timestamp": e.OccurredAt.Format(nexusTime), "initiator": e.Actor, "repositoryName": key, "action": "CREATED",
				"component": object{"format": "docker", "name": image, "version": tag},
			}, map[string]string{
				"X-Nexus-Webhook-Delivery": id,
			}, err
	case KindECR:
		account, region := c.account()
		return object{"id": id, "detail-type": "ECR Image Action", "source": "aws.ecr", "account": account, "region": region, "time": at, "detail": object{
			"result": "SUCCESS", "repository-name": repo, "image-digest": digest, "image-tag": tag, "action-type": "PUSH",
		}}, nil, nil
	case KindACR:
		return registry, nil, nil
	case KindEventGrid:
		return []any{object{"id": id, "eventType": eventGridPrefix + "ImagePushed", "eventTime": at, "data": registry}},
			map[string]string{"Aeg-Event-Type": "Notification", "Aeg-Subscription-Name": c.origin()}, nil
	case KindGitea:
		return object{"action": "created", "sample": id, "sender": object{"login": e.Actor}, "package": object{
			"owner": object{"login": owner}, "type": "container", "name": name, "version": tag, "created_at": at,
		}}, map[string]string{"X-Gitea-Event": "package", "X-Gitea-Delivery": id}, nil
	case KindAlibaba:
		when := e.OccurredAt.In(time.FixedZone("", alibabaOffset)).Format(alibabaTime)
		where := object{"namespace": owner, "name": name, "repo_full_name": repo}
		if at := alibabaHost.FindStringSubmatch(string(c.Host)); at != nil {
			where["region"] = at[1]
		}
		return object{"push_data": object{"digest": digest, "pushed_at": when, "tag": tag}, "repository": where}, nil, nil
	case KindGeneric:
		return genericEvent{ID: id, Action: "push", Repository: repo, Tag: tag, Digest: digest, Actor: e.Actor, OccurredAt: at}, nil, nil
	}
	return nil, nil, provenance.Errorf(provenance.Invalid, "there is no sample of kind %s", c.Kind)
}

// origin is what a sample says of where it comes from.
func (c *Connector) origin() string {
	if len(c.Origins) > 0 {
		return c.Origins[0]
	}
	return "waybill"
}

// storage is the way back from where an image is pulled from to its storage
// repository and path: the longest prefix that fits.
func (c *Connector) storage(repo provenance.Repository) (key, image string, err error) {
	if len(c.Prefixes) == 0 {
		if key, image, ok := strings.Cut(string(repo), "/"); ok {
			return key, image, nil
		}
	}
	longest := -1
	for _, k := range slices.Sorted(maps.Keys(c.Prefixes)) {
		prefix := c.Prefixes[k]
		rest, ok := string(repo), prefix == ""
		if !ok {
			rest, ok = strings.CutPrefix(rest, prefix+"/")
		}
		if ok && len(prefix) > longest {
			key, image, longest = k, rest, len(prefix)
		}
	}
	if longest < 0 && key == "" {
		return "", "", provenance.Errorf(provenance.Invalid, "repository %q: no storage repository of connector %q holds it", repo, c.Name)
	}
	return key, image, nil
}
