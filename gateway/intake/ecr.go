package intake

import (
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// KindECR is the kind of connector that reads Amazon ECR's events as
// EventBridge sends them to an API destination.
const KindECR = "ecr"

func ecrFormat() format {
	return format{kind: KindECR, parse: parseECR, types: isJSON, secret: inHeader | inBasic, weak: weakHeader}
}

func parseECR(m message) (batch, error) {
	var in struct {
		ID         string `json:"id"`
		DetailType string `json:"detail-type"`
		Source     string `json:"source"`
		Account    string `json:"account"`
		Region     string `json:"region"`
		Time       string `json:"time"`
		Detail     *struct {
			Result     string `json:"result"`
			Repository string `json:"repository-name"`
			Digest     string `json:"image-digest"`
			Tag        string `json:"image-tag"` // absent for an image without one
			Action     string `json:"action-type"`
		} `json:"detail"`
	}
	const want = `{"source":"aws.ecr","detail-type":…,"detail":{…}}, an EventBridge event of ECR`
	if err := decode(m.raw, &in, want); err != nil {
		return batch{}, err
	}
	if err := marked(want, in.Source == "aws.ecr", in.DetailType != "", in.Detail != nil); err != nil {
		return batch{}, err
	}
	if err := idText("id", in.ID); err != nil {
		return batch{}, err
	}
	if in.DetailType != "ECR Image Action" {
		return ignoring(ignoredOther), nil
	}
	if !isECRHost(m.connector.Host, in.Account, in.Region) {
		return ignoring(ignoredElsewhere), nil
	}
	if in.Detail.Result != "SUCCESS" {
		return ignoring(ignoredOther), nil
	}
	body, err := hashJSON(m.raw)
	if err != nil {
		return batch{}, err
	}
	c := report{
		id: m.id(in.ID), at: in.Time,
		repository: value{"detail.repository-name", in.Detail.Repository},
		digest:     value{"detail.image-digest", in.Detail.Digest}, tag: value{"detail.image-tag", in.Detail.Tag},
	}
	out := newBatch()
	switch in.Detail.Action {
	case "PUSH":
		c.action = provenance.Push
		err = out.add(m, c, body)
	case "DELETE":
		// With a tag it says no more than that the tag went: ECR keeps the
		// image while another tag names it.
		c.action = provenance.Delete
		if in.Detail.Tag != "" {
			c.action = provenance.TagDelete
		}
		err = out.add(m, c, body)
	default:
		out.addUnknown(m, c, body)
	}
	if err != nil {
		return batch{}, err
	}
	return out, nil
}

// isECRHost tells whether an account's registry in a region is the connector's
// host. One bus may carry the events of many accounts. A host of another form,
// as that of a proxy, cannot be compared.
func isECRHost(host provenance.Host, account, region string) bool {
	name, rest, ok := strings.Cut(string(host), ".dkr.ecr.")
	if !ok {
		return true
	}
	in, _, _ := strings.Cut(rest, ".")
	return name == account && in == region
}
