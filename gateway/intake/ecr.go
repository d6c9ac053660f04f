package intake

import (
	"crypto/sha256"
	"regexp"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// KindECR is the kind of connector that reads Amazon ECR's events as EventBridge
// sends them to an API destination, or Amazon SNS to an HTTPS subscription, wrapped or raw.
const KindECR = "ecr"

func ecrFormat() format {
	return format{
		kind: KindECR, parse: parseECR, types: isJSONOrText, secret: inHeader | inBasic, weak: weakHeader, origins: true, check: checkECR,
	}
}

// isJSONOrText: SNS says text/plain whatever it sends.
func isJSONOrText(mediaType string) bool { return isJSON(mediaType) || mediaType == "text/plain" }

// bridgeEvent is an event of EventBridge.
type bridgeEvent struct {
	ID         string     `json:"id"`
	DetailType string     `json:"detail-type"`
	Source     string     `json:"source"`
	Account    string     `json:"account"`
	Region     string     `json:"region"`
	Time       string     `json:"time"`
	Detail     *ecrDetail `json:"detail"`
}

type ecrDetail struct {
	Result     string `json:"result"`
	Sync       string `json:"sync-status"` // instead of result, of the pull through cache
	Repository string `json:"repository-name"`
	Digest     string `json:"image-digest"`
	Tag        string `json:"image-tag"` // absent for an image without one
	Action     string `json:"action-type"`
}

func parseECR(m message) (batch, error) {
	if !isJSON(m.mediaType) && m.header.Get("X-Amz-Sns-Message-Type") == "" {
		return batch{}, foreign("Content-Type: text/plain is for messages of Amazon SNS")
	}
	raw, other, err := unwrapSNS(m.raw)
	if err != nil || other {
		return ignoring(ignoredOther), err
	}
	var in bridgeEvent
	const want = `{"source":"aws.ecr","detail-type":…,"detail":{…}}, an EventBridge event of ECR`
	if err := decode(raw, &in, want); err != nil {
		return batch{}, err
	}
	if in.Source != "" && in.Source != "aws.ecr" && in.DetailType != "" {
		return ignoring(ignoredForeign), nil // of another service whose events the rule lets through
	}
	if err := marked(want, in.Source == "aws.ecr", in.DetailType != "", in.Detail != nil); err != nil {
		return batch{}, err
	}
	if err := idText("id", in.ID); err != nil {
		return batch{}, err
	}
	action, about := in.action()
	if about == aboutOther {
		return ignoring(ignoredOther), nil
	}
	if !m.connector.isOfAccount(in.Account, in.Region) {
		return ignoring(ignoredElsewhere), nil
	}
	if in.Detail.Result != "SUCCESS" && in.Detail.Sync != "SUCCESS" {
		return ignoring(ignoredOther), nil
	}
	body, err := hashJSON(raw)
	if err != nil {
		return batch{}, err
	}
	return in.events(m, action, body)
}

// action is what happened to an image. Replication and the pull through cache bring
// images that nobody pushes there.
func (in bridgeEvent) action() (provenance.Action, about) {
	switch in.DetailType {
	case "ECR Image Action", "ECR Referrer Action":
		switch in.Detail.Action {
		case "PUSH":
			return provenance.Push, aboutImage
		case "DELETE":
			return provenance.Delete, aboutImage
		}
		return provenance.Unknown, aboutNothing // into an archive or out of it, among others
	case "ECR Replication Action":
		return provenance.Push, aboutImage
	case "ECR Pull Through Cache Action":
		return provenance.Push, aboutImage
	}
	return 0, aboutOther // scans; calls that CloudTrail tells of
}

func (in bridgeEvent) events(m message, action provenance.Action, body [sha256.Size]byte) (out batch, err error) {
	c := report{
		action: action, id: m.id(in.ID), at: in.Time,
		repository: value{"detail.repository-name", in.Detail.Repository},
		digest:     value{"detail.image-digest", in.Detail.Digest}, tag: value{"detail.image-tag", in.Detail.Tag},
	}
	out = newBatch()
	switch action {
	case provenance.Push:
		c.resolve = true // the pull through cache may name a tag alone
		err = out.add(m, c, body)
	case provenance.Delete:
		err = out.addDeleted(m, c, body)
	default:
		out.addUnknown(m, c, body)
	}
	if err != nil {
		return batch{}, err
	}
	return out, nil
}

// ecrHost is a private registry's host, in each of Amazon's partitions: for IPv4, dual
// stack, and FIPS endpoints of both.
var ecrHost = regexp.MustCompile(`^([0-9]{12})\.dkr[.-]ecr(?:-fips)?\.([a-z]{2,}(?:-[a-z]+)+-[0-9]+)\.` +
	`(?:amazonaws\.com(?:\.cn)?|amazonaws\.eu|on\.aws|on\.amazonwebservices\.(?:com\.cn|eu)|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)(?::[0-9]+)?$`)

// ecrLike tells hosts that are Amazon's: one that ecrHost cannot take apart names
// nobody's registry, or says in a way that we do not know whose it is.
var ecrLike = regexp.MustCompile(`(?:^|\.)dkr[.-]ecr|(?:^|[.-])ecr[.-](?:.*\.)?(?:amazonaws\.(?:com|com\.cn|eu)|amazonwebservices\.(?:com\.cn|eu)|aws|aws\.com)(?::[0-9]+)?$`)

// ecrOrigin is an account and a region, for a host that tells neither.
var ecrOrigin = regexp.MustCompile(`^[0-9]{12}/[a-z]{2,}(?:-[a-z]+)+-[0-9]+$`)

// checkECR wants to know which account's registry in which region is the connector's:
// one bus may carry the events of many.
func checkECR(c *Connector) error {
	if ecrHost.MatchString(string(c.Host)) {
		if len(c.Origins) > 0 {
			return provenance.Errorf(provenance.Invalid, "host %s names its account and region: origins are for a host that does not", c.Host)
		}
		return nil
	}
	if ecrLike.MatchString(string(c.Host)) {
		return provenance.Errorf(provenance.Invalid, "host %q looks like Amazon ECR and is not <account>.dkr.ecr.<region>.amazonaws.com, nor its dual-stack or FIPS form", c.Host)
	}
	if len(c.Origins) == 0 || slices.ContainsFunc(c.Origins, func(o string) bool { return !ecrOrigin.MatchString(o) }) {
		return provenance.Errorf(provenance.Invalid, "host %s does not tell whose events are its own: want origins, each <account>/<region>", c.Host)
	}
	return nil
}

// isOfAccount tells whether an account's registry in a region is the connector's.
func (c *Connector) isOfAccount(account, region string) bool {
	if at := ecrHost.FindStringSubmatch(string(c.Host)); at != nil {
		return at[1] == account && at[2] == region
	}
	return slices.Contains(c.Origins, account+"/"+region)
}

// account is the other way round, for a sample.
func (c *Connector) account() (account, region string) {
	if at := ecrHost.FindStringSubmatch(string(c.Host)); at != nil {
		return at[1], at[2]
	}
	account, region, _ = strings.Cut(c.origin(), "/")
	return account, region
}
