package evidence

import (
	"slices"
	"strconv"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// severities, worst first. Unknown is last, and what a scanner says of a finding
// that nobody has rated yet: it cannot be compared, and rules that fear it count it
// by its own fact. A rating that is there and cannot be read is never unknown.
var severities = [...]string{"critical", "high", "medium", "low", "negligible", "unknown"} //nolint:gochecknoglobals // a constant list

const unknownSeverity = len(severities) - 1

// severityNames are the other names that databases and scanners give them.
var severityNames = map[string]string{ //nolint:gochecknoglobals // a constant table
	"important": "high", "moderate": "medium", "minor": "low",
	"info": "negligible", "information": "negligible", "informational": "negligible", "minimal": "negligible", "unimportant": "negligible",
	"defcon1": "critical", "none": "unknown", "unassigned": "unknown", "undefined": "unknown", "unspecified": "unknown", "untriaged": "unknown",
}

// severity reads a severity's name, and tells whether it is one.
func severity(name string) (int, bool) {
	name = strings.ToLower(name)
	if other := severityNames[name]; other != "" {
		name = other
	}
	i := slices.Index(severities[:], name)
	return i, i >= 0
}

// score reads a CVSS base score, a number or a text, by the bands of the CVSS
// v3.1 specification, section 5, and tells whether it is one. Zero is how scanners
// write "none known".
func score(v any) (int, bool) {
	literal := ""
	switch x := v.(type) {
	case string:
		literal = x
	case int64:
		literal = strconv.FormatInt(x, 10)
	case strictjson.Number:
		literal = string(x)
	}
	whole, fraction, _ := strings.Cut(literal, ".")
	if len(literal) > 16 || strings.Trim(whole+fraction, "0123456789") != "" {
		return unknownSeverity, false
	}
	n, err := strconv.Atoi(whole)
	if more := strings.Trim(fraction, "0") != ""; err != nil || n > 10 || n == 10 && more {
		return unknownSeverity, false
	}
	switch {
	case n >= 9:
		return 0, true
	case n >= 7:
		return 1, true
	case n >= 4:
		return 2, true
	case n > 0 || strings.Trim(fraction, "0") != "":
		return 3, true
	}
	return unknownSeverity, true
}

// rating reads a severity that is a name or a score.
func rating(v any) (int, bool) {
	if name, ok := v.(string); ok {
		if s, ok := severity(name); ok {
			return s, true
		}
	}
	return score(v)
}

func unrated(id, severity string) error {
	return invalid("scan: %q has the severity %q, which cannot be read", clip(id), clip(severity))
}
