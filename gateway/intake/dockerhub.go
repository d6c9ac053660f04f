package intake

import (
	"crypto/sha256"
	"encoding/json"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// KindDockerHub is the kind of connector that reads Docker Hub's webhooks,
// which report pushes only.
const KindDockerHub = "dockerhub"

func dockerHubFormat() format {
	return format{kind: KindDockerHub, parse: parseDockerHub, types: isJSON, secret: inURL, actors: true, weak: weakURL}
}

// parseDockerHub reads a push. callback_url is not even decoded: calling what a
// body names would let its sender choose whom we dial. An image of several
// platforms is reported several times with the same tag and second: those
// are one event, so that its hash is over what makes it that.
func parseDockerHub(m message) (batch, error) {
	var in struct {
		PushData *struct {
			PushedAt json.Number `json:"pushed_at"`
			Pusher   string      `json:"pusher"`
			Tag      string      `json:"tag"`
		} `json:"push_data"`
		Repository *struct {
			RepoName string `json:"repo_name"`
		} `json:"repository"`
	}
	const want = `{"push_data":{"pushed_at":…,"tag":…},"repository":{"repo_name":…}}, a Docker Hub notification`
	if err := decode(m.raw, &in, want); err != nil {
		return batch{}, err
	}
	if err := marked(want, in.PushData != nil, in.Repository != nil); err != nil {
		return batch{}, err
	}
	if in.PushData.PushedAt == "" || in.PushData.Tag == "" {
		return batch{}, provenance.Errorf(provenance.Invalid, "body: want %s", want)
	}
	name := in.Repository.RepoName
	if name != "" && !strings.Contains(name, "/") {
		name = "library/" + name // as official images are pulled
	}
	key := []string{name, in.PushData.Tag, in.PushData.PushedAt.String()}
	c := report{
		action: provenance.Push, resolve: true, id: m.id(key...),
		repository: value{"repository.repo_name", name}, tag: value{"push_data.tag", in.PushData.Tag},
		actor: in.PushData.Pusher, atTime: unixTime(in.PushData.PushedAt, m.now),
	}
	out := newBatch()
	if err := out.add(m, c, sha256.Sum256([]byte(strings.Join(key, "\x1f")))); err != nil {
		return batch{}, err
	}
	return out, nil
}
