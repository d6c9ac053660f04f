package chaos

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/waybill-dev/waybill/test/chaos/check"
)

// envelope is what we read and write of a notification (CNCF distribution,
// notifications.md).
type envelope struct {
	Events []notification `json:"events"`
}

type notification struct {
	ID        string    `json:"id"`
	Timestamp time.Time `json:"timestamp"`
	Action    string    `json:"action"`
	Target    target    `json:"target"`
	Actor     struct {
		Name string `json:"name"`
	} `json:"actor"`
}

type target struct {
	MediaType  string `json:"mediaType,omitempty"`
	Digest     string `json:"digest,omitempty"`
	Repository string `json:"repository"`
	Tag        string `json:"tag,omitempty"`
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"

// claimsOf reads what a body says happened. Reads by the gateway itself come
// back as pulls, which are no business of anyone here.
func claimsOf(host string, body []byte) ([]check.Claim, error) {
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, fmt.Errorf("read a notification: %w", err)
	}
	if host == "" {
		return nil, fmt.Errorf("a notification for a hook that nobody has")
	}
	var claims []check.Claim
	for _, n := range e.Events {
		action := n.Action
		switch {
		case action == "push" && n.Target.MediaType == manifestType:
		case action == "delete" && n.Target.Tag != "":
			action = "tag-delete"
		case action == "delete":
		default:
			continue
		}
		claims = append(claims, check.Claim{ID: n.ID, Key: check.Key(action, host, n.Target.Repository, n.Target.Tag, n.Target.Digest)})
	}
	return claims, nil
}
