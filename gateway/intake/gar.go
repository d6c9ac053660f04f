package intake

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// KindGAR is the kind of connector that reads the notifications of Google
// Artifact Registry as a Pub/Sub push subscription delivers them, wrapped.
const KindGAR = "gar"

func garFormat() format {
	return format{kind: KindGAR, parse: parseGAR, types: isJSON, tokens: true, origins: true}
}

// parseGAR reads the envelope and the notification in it. The hash is over the
// notification: a redelivery counts its attempts in the envelope.
func parseGAR(m message) (batch, error) {
	var in struct {
		Message *struct {
			Data        string `json:"data"`
			ID          string `json:"messageId"`
			PublishTime string `json:"publishTime"`
		} `json:"message"`
		Subscription string `json:"subscription"`
	}
	const want = `{"message":{"data":…,"messageId":…},"subscription":…}, a wrapped Pub/Sub message`
	if err := decode(m.raw, &in, want); err != nil {
		return batch{}, err
	}
	if in.Message == nil {
		return batch{}, foreign("body: want %s", want)
	}
	for _, id := range []value{{"message.messageId", in.Message.ID}, {"subscription", in.Subscription}} {
		if err := idText(id.field, id.text); err != nil {
			return batch{}, err
		}
	}
	if err := m.origin("subscription", in.Subscription); err != nil {
		return batch{}, err
	}
	data, err := base64.StdEncoding.Strict().DecodeString(in.Message.Data)
	if err != nil {
		return batch{}, provenance.Errorf(provenance.Invalid, "message.data: is not base64")
	}
	var n garNotification
	if err := decode(data, &n, `{"action":…,"digest" or "tag":…}, a notification of Artifact Registry`); err != nil {
		return batch{}, within("message.data", err)
	}
	c, elsewhere, err := n.report(m.connector.Host)
	if err != nil {
		return batch{}, within("message.data", err)
	}
	if elsewhere {
		return ignoring(ignoredElsewhere), nil
	}
	c.id, c.at = m.id(in.Message.ID, in.Subscription), in.Message.PublishTime
	out, body := newBatch(), sha256.Sum256(data)
	switch c.action {
	case provenance.Unknown:
		out.addUnknown(m, c, body)
	case provenance.Delete:
		err = out.addDeleted(m, c, body)
	default:
		err = out.add(m, c, body)
	}
	if err != nil {
		return batch{}, err
	}
	return out, nil
}

type garNotification struct {
	Action string `json:"action"`
	Digest string `json:"digest"` // host/repository@digest
	Tag    string `json:"tag"`    // host/repository:tag
}

// report takes the references apart. The topic carries every registry of the
// project, so the host in them only tells whether the event is ours at all.
func (n garNotification) report(host provenance.Host) (c report, elsewhere bool, err error) {
	c = report{action: provenance.Unknown, resolve: true}
	var refs []provenance.Reference
	for _, text := range []value{{"digest", n.Digest}, {"tag", n.Tag}} {
		if text.text == "" {
			continue
		}
		if at, _, _ := strings.Cut(text.text, "/"); strings.Contains(at, ".") && at != string(host) {
			return report{}, true, nil // whatever else may be wrong with it
		}
		ref, err := provenance.ParseReference(text.text)
		if err != nil {
			return report{}, false, within(text.field, err)
		}
		if (ref.Digest.IsZero()) == (text.field == "digest") {
			return report{}, false, provenance.Errorf(provenance.Invalid, "%s: %q names something else", text.field, clipText(text.text))
		}
		refs = append(refs, ref)
	}
	if n.Action == "" || len(refs) == 0 {
		return report{}, false, provenance.Errorf(provenance.Invalid, "want an action and a digest or a tag")
	}
	for _, ref := range refs {
		if ref.Host != host {
			return report{}, true, nil
		}
		if ref.Repository != refs[0].Repository {
			return report{}, false, provenance.Errorf(provenance.Invalid, "digest and tag are of two repositories")
		}
		if !ref.Digest.IsZero() {
			c.digest = value{"digest", ref.Digest.String()}
		}
		if ref.Tag != "" {
			c.tag = value{"tag", string(ref.Tag)}
		}
	}
	c.repository = value{"digest", string(refs[0].Repository)}
	switch strings.ToUpper(n.Action) {
	case "INSERT":
		c.action = provenance.Push
	case "DELETE":
		c.action = provenance.Delete
	}
	return c, false, nil
}
