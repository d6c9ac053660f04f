package evidence

import (
	"cmp"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Statuses of OpenVEX (openvex/spec, OPENVEX-SPEC.md) and the facts that count them.
var vexStatuses = map[string]string{ //nolint:gochecknoglobals // a constant table
	"not_affected":        "notAffected",
	"affected":            "affected",
	"fixed":               "fixed",
	"under_investigation": "underInvestigation",
}

// vexFacts reads OpenVEX. Only statements about the subject itself, named by
// digest, are taken; a document without any is refused. With a zero subject
// (Extract) all statements are taken.
func vexFacts(m map[string]any, subject provenance.Digest) (extracted, error) {
	if !strings.HasPrefix(str(m, "@context"), "https://openvex.dev/ns") {
		return extracted{}, invalid("vex: @context is not OpenVEX's")
	}
	counts := map[string]int64{}
	var kept []map[string]any
	for i, s := range list(m, "statements") {
		about, err := aboutSubject(list(s, "products"), subject)
		if err != nil {
			return extracted{}, err
		}
		if !about {
			continue
		}
		// Version 0.0.1 has the vulnerability as a text.
		id := cmp.Or(str(s, "vulnerability", "name"), str(s, "vulnerability"), str(s, "vulnerability", "@id"))
		status := str(s, "status")
		if id == "" || text(id) != id || vexStatuses[status] == "" {
			return extracted{}, invalid("vex: statement %d: vulnerability %q with status %q", i, clip(id), clip(status))
		}
		justification := str(s, "justification")
		if status == "not_affected" && justification == "" && str(s, "impact_statement") == "" {
			return extracted{}, invalid("vex: statement %d: not_affected needs a justification or an impact statement", i)
		}
		counts[vexStatuses[status]]++
		kept = append(kept, map[string]any{"id": id, "status": status, "justification": text(justification)})
	}
	if len(kept) == 0 {
		return extracted{}, invalid("vex: no statement whose product is %s", cmp.Or(subject.Short(), "named"))
	}
	slices.SortStableFunc(kept, func(a, b map[string]any) int { return cmp.Compare(str(a, "id"), str(b, "id")) })
	for i := 1; i < len(kept); i++ {
		if str(kept[i], "id") == str(kept[i-1], "id") {
			return extracted{}, invalid("vex: two statements on %q", clip(str(kept[i], "id")))
		}
	}
	listed := []any{}
	for _, s := range kept[:min(len(kept), maxListed)] {
		listed = append(listed, s)
	}
	facts := map[string]any{
		"statements": listed, "total": int64(len(kept)), "truncated": len(listed) < len(kept),
	}
	for _, name := range vexStatuses {
		facts[name] = counts[name]
	}
	facts, err := truncate(facts, "statements")
	return extracted{
		facts: facts, predicateType: "https://openvex.dev/ns",
		madeAt: claimedTime(cmp.Or(str(m, "last_updated"), str(m, "timestamp"))),
	}, err
}

// aboutSubject tells whether one of the products is the subject. A product
// that names it and another digest under the same algorithm is refused.
func aboutSubject(products []any, subject provenance.Digest) (bool, error) {
	if subject.IsZero() {
		return true, nil
	}
	alg, value := split(subject)
	about := false
	for _, p := range products {
		same, differ := false, false
		names := []string{str(p, "@id"), str(p, "identifiers", "purl")}
		if s, ok := p.(string); ok { // version 0.0.1
			names = []string{s}
		}
		for _, name := range names {
			if d := digestIn(name, alg); d != "" {
				same = same || d == value
				differ = differ || d != value
			}
		}
		hashes := object(p, "hashes")
		for _, name := range []string{alg, "sha-" + alg[len("sha"):]} {
			if d := str(hashes, name); d != "" {
				same = same || d == value
				differ = differ || d != value
			}
		}
		if same && differ {
			return false, invalid("vex: a product names %s and another digest", subject.Short())
		}
		about = about || same
	}
	return about, nil
}

// digestIn finds the digest in an image reference or a pkg:oci URL, where the
// colon may be escaped.
func digestIn(name, alg string) string {
	for _, mark := range []string{"@" + alg + ":", "@" + alg + "%3A", "@" + alg + "%3a"} {
		if _, after, ok := strings.Cut(name, mark); ok {
			after, _, _ = strings.Cut(after, "?")
			after, _, _ = strings.Cut(after, "#")
			return after
		}
	}
	return ""
}
