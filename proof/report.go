package proof

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
)

// Result says what came of a file.
type Result string

// The results.
const (
	Valid      Result = "valid"           // all of it holds; what it says is in Verdict or Transaction
	Invalid    Result = "invalid"         // it was changed, or made by somebody who cannot
	Incomplete Result = "incomplete"      // something that was left out has to be given beside
	Unknown    Result = "unknown version" // of another version, or of a network this program does not know
	Stale      Result = "stale"           // it holds, and is older than the reader wants
)

// Step is one thing that was checked.
type Step struct {
	ID     string `json:"id"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// Report is everything that came of a file. Its times are claims of clients, bounded by
// the peers' window where they endorsed.
type Report struct {
	Result  Result `json:"result"`
	Kind    string `json:"kind,omitempty"`
	Channel string `json:"channel,omitempty"`
	Steps   []Step `json:"steps"`
	// Floor is the height of the channel that the file shows: it was at least as high.
	Floor       uint64       `json:"floor,omitempty"`
	Verdict     *Verdict     `json:"verdict,omitempty"`
	Transaction *Transaction `json:"transaction,omitempty"`
	Proven      []string     `json:"proven"`
	NotProven   []string     `json:"notProven"`
}

// Endorser is a peer that signed.
type Endorser struct {
	MSP  string `json:"msp"`
	Name string `json:"name"`
}

// Exit codes that the verdicts' codes leave free.
const (
	exitInvalid    = 15
	exitIncomplete = 16
	exitUnknown    = 17
)

// Exit is the exit code of a report: those of `waybill verify` where the file holds (0 allowed, 10 unknown, 11
// denied, 12 pending, 13 quarantined, 14 too old), 15 invalid, 16 incomplete, 17 of an unknown version. A
// transaction that is on the chain and valid is 0, one that peers found invalid is 11.
func (r Report) Exit() int {
	switch r.Result {
	case Valid:
		if r.Transaction != nil && !r.Transaction.Valid {
			return answers["denied"]
		}
		if r.Verdict != nil {
			return answers[r.Verdict.Verdict]
		}
		return 0
	case Stale:
		return 14
	case Incomplete:
		return exitIncomplete
	case Unknown:
		return exitUnknown
	default:
		return exitInvalid
	}
}

// answers are the answers that a verdict may have, with their exit codes.
var answers = map[string]int{"allowed": 0, "unknown": 10, "denied": 11, "pending": 12, "quarantined": 13} //nolint:gochecknoglobals // a constant table

// errIncomplete, errUnknown and errStale are the failures that are not Invalid.
var (
	errIncomplete = errors.New("incomplete")
	errUnknown    = errors.New("not known to this version")
	errStale      = errors.New("too old")
)

// step notes a check, and returns its error.
func (r *Report) step(id, detail string, err error) error {
	if err == nil {
		r.Steps = append(r.Steps, Step{ID: id, OK: true, Detail: detail})
		return nil
	}
	r.Steps = append(r.Steps, Step{ID: id, Detail: err.Error()})
	switch {
	case errors.Is(err, errIncomplete):
		r.Result = Incomplete
	case errors.Is(err, errUnknown), errors.Is(err, ErrVersion):
		r.Result = Unknown
	case errors.Is(err, errStale):
		r.Result = Stale
	default:
		r.Result = Invalid
	}
	return err
}

func (r *Report) proven(format string, a ...any) {
	r.Proven = append(r.Proven, fmt.Sprintf(format, a...))
}

func (r *Report) notProven(format string, a ...any) {
	r.NotProven = append(r.NotProven, fmt.Sprintf(format, a...))
}

// JSON is the report for programs.
func (r Report) JSON() []byte {
	b, _ := json.MarshalIndent(r, "", "  ") // text and numbers always have an encoding
	return append(b, '\n')
}

// WriteText writes the report for people: the result first.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", strings.ToUpper(string(r.Result)))
	if v := r.Verdict; v != nil && r.Result == Valid {
		fmt.Fprintf(&b, "\n%s\n  image   %s\n  stage   %s\n  as of   %s\n", strings.ToUpper(v.Verdict), printable(v.Image), printable(v.Stage), v.AsOf.Format(time.RFC3339))
		for _, e := range v.Endorsers {
			fmt.Fprintf(&b, "  signed  %s of %s\n", printable(e.Name), printable(e.MSP))
		}
		for _, reason := range v.Reasons {
			fmt.Fprintf(&b, "  rule    %s: %s: %s\n", printable(reason.Rule), printable(reason.Outcome), printable(reason.Detail))
		}
	}
	if t := r.Transaction; t != nil && r.Result == Valid {
		fmt.Fprintf(&b, "\ntransaction %s\n  status    %s\n  block     %d, number %d in it\n  function  %s\n  by        %s of %s\n  claimed   %s\n",
			t.ID, t.Status, t.Block, t.Index, printable(t.Function), printable(t.Creator.Name), printable(t.Creator.MSP), t.At.Format(time.RFC3339))
		for _, a := range t.Arguments {
			fmt.Fprintf(&b, "  argument  %s\n", printable(a))
		}
		for _, k := range t.Writes {
			fmt.Fprintf(&b, "  wrote     %s\n", printable(k.Key))
		}
	}
	b.WriteString("\nchecked\n")
	for _, s := range r.Steps {
		mark := "ok"
		if !s.OK {
			mark = "NO"
		}
		fmt.Fprintf(&b, "  %s  %s: %s\n", mark, s.ID, printable(s.Detail))
	}
	for _, list := range []struct {
		title string
		lines []string
	}{{"proven", r.Proven}, {"not proven", r.NotProven}} {
		if len(list.lines) > 0 {
			fmt.Fprintf(&b, "\n%s\n", list.title)
		}
		for _, line := range list.lines {
			fmt.Fprintf(&b, "  - %s\n", printable(line))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printable is text of a file as a terminal may show it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
