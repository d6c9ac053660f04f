package arch

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// house is what a document may name.
type house struct {
	root         string
	transactions map[string]bool
	commands     map[string]string          // "waybill policy show" -> its page in docs/cli
	hidden       map[string]bool            // last words of commands that have no page
	targets      map[string]bool            // of the Makefile
	codes        map[string]bool            // WB_...
	keys         map[string]bool            // of the gateway's configuration
	files        map[string]bool            // names of files, without folders
	declared     map[string]map[string]bool // of each folder with Go files
	packages     map[string]string          // folder of a package, by the last part of its path
	text         string                     // all Go source but tests, for names that only texts hold
	words        map[string]bool            // of it
	chart        map[string]bool            // words of the chart: values, and what Kubernetes calls things
}

func matches(text, pattern string) map[string]bool {
	out := map[string]bool{}
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		out[m[1]] = true
	}
	return out
}

// survey reads what there is. The role table, the error codes and the keys of
// the configuration are read off their source, as the words they are.
func survey(root string) (house, error) {
	h := house{root: root, commands: map[string]string{}, files: map[string]bool{}, declared: map[string]map[string]bool{}, packages: map[string]string{}}
	var goText, config strings.Builder
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if entry.IsDir() {
			if rel == "." {
				return nil
			}
			if strings.HasPrefix(entry.Name(), ".") || rel == "bin" {
				return filepath.SkipDir
			}
			return nil
		}
		h.files[entry.Name()] = true
		if path.Ext(rel) != ".go" && rel != "Makefile" && path.Dir(rel) != "docs/cli" {
			return nil
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		switch dir := path.Dir(rel); {
		case rel == "Makefile":
			h.targets = matches(string(b), `(?m)^([a-z0-9-]+):`)
		case dir == "docs/cli":
			page := strings.TrimSuffix(path.Base(rel), ".md")
			h.commands[strings.ReplaceAll(page, "_", " ")] = string(b)
		default:
			if !strings.HasSuffix(rel, "_test.go") {
				goText.Write(b)
			}
			if within(dir, "gateway") {
				config.Write(b)
			}
			if !strings.Contains(rel, "testdata/") && h.declared[dir] == nil {
				parsed, err := folder(root, dir)
				if err != nil {
					return err
				}
				h.declared[dir] = names(parsed...)
				h.packages[path.Base(dir)] = dir
			}
		}
		return nil
	})
	if err != nil {
		return h, err
	}
	chart, err := os.ReadFile(filepath.Join(root, "deploy/chart/waybill/values.yaml"))
	if err != nil {
		return h, err
	}
	h.chart = matches(string(chart), `\b(\w+)\b`)
	h.text = goText.String()
	access, err := os.ReadFile(filepath.Join(root, "chaincode/contract/access.go"))
	if err != nil {
		return h, err
	}
	h.transactions = matches(string(access), `"([a-z]+:[A-Z][A-Za-z]+)":`)
	h.words = matches(h.text, `\b(\w+)\b`)
	h.hidden = matches(h.text, `Use: "([a-z-]+)[^\n]*Hidden: true`)
	h.codes = matches(h.text, `"(WB_[A-Z_]+)"`)
	h.keys = matches(config.String(), "`mapstructure:\"([a-z_]+)\"`")
	if len(h.transactions) < 40 || len(h.commands) < 60 || len(h.codes) < 8 || len(h.keys) < 40 || len(h.targets) < 10 {
		return h, fmt.Errorf("%d transactions, %d commands, %d codes, %d keys, %d targets: the check would check little",
			len(h.transactions), len(h.commands), len(h.codes), len(h.keys), len(h.targets))
	}
	return h, nil
}

var (
	transactionName = regexp.MustCompile(`^[a-z]+:[A-Z][A-Za-z]+$`)
	codeName        = regexp.MustCompile(`^WB_[A-Z_]+$`)
	pathName        = regexp.MustCompile(`^(?:chaincode|cmd|deploy|docs|gateway|network|scripts|test|tools)(?:/[\w.*<>{}-]+)+/?$`)
	inPackage       = regexp.MustCompile(`^(.+/[\w-]+)\.([A-Z]\w*(?:\.\w+)?)(?:/.*)?$`)
	goFile          = regexp.MustCompile(`^[\w-]+\.(?:go|proto)$`)
	qualified       = regexp.MustCompile(`^([a-z]+)\.([A-Z]\w*(?:\.\w+)?)$`)
	testName        = regexp.MustCompile(`^(?:Test|Benchmark|Fuzz|Example)[A-Z]\w*$`)
	methodName      = regexp.MustCompile(`^[A-Za-z]\w*\.[A-Za-z]\w*$`)
	configKey       = regexp.MustCompile(`^[a-z]+(?:\.[a-z_]+)*$`)
	identifier      = regexp.MustCompile(`^(?:[a-z]+[A-Z]|[A-Z][a-z])\w*$`)
	metricName      = regexp.MustCompile(`^waybill_[a-z_]+`)
	commandLine     = regexp.MustCompile(`(?:^\s*|&&\s+|\|\s+|\$\()(waybill(?:-gateway)?(?: [^|&;)#` + "`" + `]*)?)`)
	flagName        = regexp.MustCompile(`(?:^|\s)(--[a-z][a-z-]*)`)
	makeTarget      = regexp.MustCompile(`^make ([a-z0-9-]+)`)
	word            = regexp.MustCompile(`^[a-z][a-z-]*$`)
)

// missing says what is wrong with a name, or "". What is no name of ours is none
// of our business.
func (h house) missing(span string) string {
	switch {
	case strings.HasPrefix(span, "waybill ") || strings.HasPrefix(span, "waybill-gateway "):
		return h.missingCommand(span)
	case makeTarget.MatchString(span):
		if target := makeTarget.FindStringSubmatch(span)[1]; !h.targets[target] {
			return "the Makefile has no " + target
		}
	case transactionName.MatchString(span):
		if !h.transactions[span] {
			return "no transaction " + span
		}
	case codeName.MatchString(span):
		if !h.codes[span] {
			return "no error code " + span
		}
	case metricName.MatchString(span):
		if name := metricName.FindString(span); !strings.Contains(h.text, name) {
			return "no source names " + name
		}
	case pathName.MatchString(span):
		return h.missingPath(span)
	case goFile.MatchString(span):
		if !h.files[span] {
			return "no file is called " + span
		}
	case testName.MatchString(span):
		if !h.anywhere(span) {
			return "no test is called " + span
		}
	case qualified.MatchString(span):
		m := qualified.FindStringSubmatch(span)
		dir, ours := h.packages[m[1]]
		if !h.anywhere(span) && (!ours || !h.declared[dir][m[2]]) {
			return "no package " + m[1] + " declares " + m[2]
		}
	case methodName.MatchString(span) && !h.files[span] && !h.anywhere(span):
		return h.missingDotted(span)
	case identifier.MatchString(span):
		if !h.words[span] && !h.chart[span] {
			return "no source has the word " + span
		}
	case configKey.MatchString(span) && strings.Contains(span, "_") && !strings.HasSuffix(span, "_"):
		if !h.keys[span] {
			return "the gateway's configuration has no " + span
		}
	}
	return ""
}

// missingDotted looks at two words with a dot that are no file of the repository
// and no declaration: a file of a gateway or a network, a key of the gateway's
// configuration, a value of the chart, or what a policy speaks of (facts.critical).
func (h house) missingDotted(span string) string {
	left, right, _ := strings.Cut(span, ".")
	switch {
	case strings.Contains(h.text, strconv.Quote(span)), h.keys[left] && h.keys[right], h.chart[left] && h.chart[right], slices.Contains(policyParts(), left) && h.words[right]:
		return ""
	}
	return "nothing is called " + span
}

// policyParts are the parts of a policy, and the variables of its conditions.
func policyParts() []string {
	return []string{"approvals", "breakGlass", "context", "evidence", "facts", "image", "spec", "waivers", "witnesses"}
}

func (h house) anywhere(name string) bool {
	for _, declared := range h.declared {
		if declared[name] {
			return true
		}
	}
	return false
}

func (h house) missingPath(span string) string {
	placeholders := regexp.MustCompile(`<[^>]*>|\{[^}]*\}`)
	glob := placeholders.ReplaceAllString(strings.TrimSuffix(span, "/"), "*")
	if found, err := filepath.Glob(filepath.Join(h.root, glob)); err == nil && len(found) > 0 {
		return ""
	}
	if m := inPackage.FindStringSubmatch(span); m != nil {
		if h.declared[m[1]][m[2]] {
			return ""
		}
		return m[1] + " declares no " + m[2]
	}
	return "there is no " + span
}

// missingCommand compares a command with its page in docs/cli: its words, and
// the flags that it is shown with.
func (h house) missingCommand(line string) string {
	fields := strings.Fields(line)
	at, rest := fields[0], fields[1:]
	if len(rest) > 0 && rest[0] == "help" {
		rest = rest[1:]
	}
	for len(rest) > 0 && word.MatchString(rest[0]) && h.commands[at+" "+rest[0]] != "" {
		at, rest = at+" "+rest[0], rest[1:]
	}
	if len(rest) > 0 && word.MatchString(rest[0]) && h.parent(at) && !h.hidden[rest[0]] {
		return fmt.Sprintf("%s has no %s", at, rest[0])
	}
	for _, flag := range flagName.FindAllStringSubmatch(line, -1) {
		if !strings.Contains(h.commands[at], flag[1]) {
			return fmt.Sprintf("%s has no %s", at, flag[1])
		}
	}
	return ""
}

// parent tells whether a command is only there for those below it.
func (h house) parent(name string) bool {
	for other := range h.commands {
		if strings.HasPrefix(other, name+" ") {
			return true
		}
	}
	return false
}

// examples are the command lines in the code blocks of a document.
func examples(text string) (out []string) {
	fenced := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
			continue
		}
		if !fenced && !strings.HasPrefix(line, "    ") {
			continue
		}
		line, _, _ = strings.Cut(line, "  #")
		for _, m := range commandLine.FindAllStringSubmatch(line, -1) {
			out = append(out, strings.TrimSpace(m[1]))
		}
	}
	return out
}

// historic are documents whose names are those of their time.
func historic(rel string) bool { return strings.HasPrefix(rel, "docs/decisions/0") }

func TestNames(t *testing.T) {
	h, err := survey(root)
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for rel, text := range allDocuments(t) {
		if historic(rel) {
			continue
		}
		for _, span := range slices.Concat(spans(text), examples(text)) {
			checked++
			if wrong := h.missing(span); wrong != "" && !foreign(rel, span) {
				t.Errorf("%s: `%s`: %s", rel, span, wrong)
			}
		}
	}
	if checked < 500 {
		t.Errorf("%d names were looked at: the check checks little", checked)
	}
}

// foreign are the settings of other programs that a guide speaks of.
func foreign(rel, span string) bool {
	return strings.HasPrefix(rel, "docs/guides/") && (configKey.MatchString(span) || identifier.MatchString(span))
}

func TestNamesFail(t *testing.T) {
	h, err := survey(root)
	if err != nil {
		t.Fatal(err)
	}
	for span, fine := range map[string]bool{
		"record:Segment": true, "record:Everything": false,
		"waybill approve IMAGE --to STAGE": true, "waybill aprove IMAGE": false, "waybill approve IMAGE --stage x": false,
		"waybill policy show": true, "waybill policy hide": false, "waybill help output": true,
		"waybill-gateway check-config --config FILE": true, "waybill-gateway stop": false,
		"make unit": true, "make coffee": false,
		"WB_INTERNAL": true, "WB_NOTHING": false,
		"chaincode/contract/access.go": true, "chaincode/contract/gone.go": false, "gateway/intake": true, "gateway/attic": false,
		"gateway/intake/testdata/<kind>": true, "gateway/intake/lost/<kind>": false,
		"chaincode/policy.Evaluate": true, "chaincode/policy.Guess": false, "policy.Evaluate": true, "policy.Guess": false,
		"Queue.Accept": true, "Queue.Refuse": false, "access.go": true, "gone.go": false,
		"TestNamesFail": true, "TestNothing": false,
		"judge.approvals": true, "judge.nothing": false, "facts.critical": true, "facts.nosuchthing": false, "queue.db": true, "attic.db": false,
		"queue.max_pending": true, "queue.max_nothing": false, "waybill_witness_total{outcome}": true, "waybill_nothing_total": false,
		"accessTable": true, "noSuchTable": false, "Discount": true, "Nosuchthing": false,
		"sha256": true, "facts.critical == 0": true, "Retry-After": true,
	} {
		if wrong := h.missing(span); (wrong == "") != fine {
			t.Errorf("`%s`: %q", span, wrong)
		}
	}
	for text, want := range map[string]int{
		"so\n\n    waybill history X && waybill nothing Y  # waybill else\n": 2, "```\nwaybill approve X | tee\n```\n": 1, "waybill approve\n": 0,
	} {
		if got := examples(text); len(got) != want {
			t.Errorf("%q: %q, want %d", text, got, want)
		}
	}
}
