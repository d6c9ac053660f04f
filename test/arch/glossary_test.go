package arch

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// entry is a word of the glossary, and the package that uses it.
type entry struct{ word, home string }

// glossary reads the entries, and the names in backticks of their meanings.
func glossary(text string) (entries []entry, mentioned map[string]bool, wrong []string) {
	mentioned = map[string]bool{}
	for _, cells := range rows(text) {
		if len(cells) != 4 || len(spans(cells[3])) != 1 || !strings.HasPrefix(cells[0], "**") || cells[1] == "" {
			wrong = append(wrong, "want a word, its meaning, a standard or none, and a package: "+strings.Join(cells, " | "))
			continue
		}
		e := entry{strings.Trim(cells[0], "*"), spans(cells[3])[0]}
		if slices.ContainsFunc(entries, func(o entry) bool { return o.word == e.word }) {
			wrong = append(wrong, e.word+" is there twice")
		}
		entries = append(entries, e)
		mentioned[e.word] = true
		for _, s := range spans(cells[1]) {
			mentioned[s] = true
		}
	}
	return entries, mentioned, wrong
}

// uses tells whether a comment uses a word, in one number or the other, and also
// where it is written as one, like EvidenceSet.
func uses(comment, word string) bool {
	plural := `(?:s|es)?`
	if stem, ok := strings.CutSuffix(word, "y"); ok {
		word, plural = stem, `(?:y|ies)`
	}
	pattern := strings.ReplaceAll(regexp.QuoteMeta(word), " ", `\s*`) + plural
	return regexp.MustCompile(`(?i)\b` + pattern + `\b`).MatchString(comment)
}

// undefined compares the glossary with the comments of the packages and with the
// kinds of records on the ledger.
func undefined(text string, comments map[string]string, records []string) []string {
	entries, mentioned, wrong := glossary(text)
	for _, e := range entries {
		comment, ok := comments[e.home]
		switch {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("%s: there is no package %s", e.word, e.home))
		case !uses(comment, e.word):
			wrong = append(wrong, fmt.Sprintf("the comment of %s does not use the word %q", e.home, e.word))
		}
	}
	for _, r := range records {
		if !mentioned[r] {
			wrong = append(wrong, "the ledger has records of the kind "+r+", and the glossary does not")
		}
	}
	for pkg, comment := range comments {
		switch {
		case comment == "":
			wrong = append(wrong, pkg+" has no comment")
		case !slices.Contains(general(), pkg) && !slices.ContainsFunc(entries, func(e entry) bool { return uses(comment, e.word) }):
			wrong = append(wrong, pkg+": its comment uses no word of the glossary: either one is missing there, or it says it in others")
		}
	}
	slices.Sort(wrong)
	return wrong
}

// general are the packages that are about nothing of the domain.
func general() []string {
	return []string{"cmd/reference", "cmd/reference/referencetest", "gateway/keypair", "gateway/sqldb", "gateway/statefile", "gateway/wait", "gateway/wait/waittest", "test/arch", "test/postgres"}
}

// packageComments are the comments of our packages that are not generated and not
// only tests.
func packageComments(root string) (map[string]string, error) {
	files, err := sources(root)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, rel := range files {
		if strings.HasSuffix(rel, "_test.go") {
			continue
		}
		file, err := parse(rel)
		if err != nil {
			return nil, err
		}
		if ast.IsGenerated(file) {
			continue
		}
		dir := filepath.ToSlash(filepath.Dir(rel))
		out[dir] += file.Doc.Text()
	}
	return out, nil
}

func TestGlossary(t *testing.T) {
	comments, err := packageComments(root)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := os.ReadFile(filepath.Join(root, "chaincode", "state", "keys.go"))
	if err != nil {
		t.Fatal(err)
	}
	var records []string
	for _, m := range regexp.MustCompile(`(?m)^\tType[A-Z]\w* += "([a-z]+)"`).FindAllStringSubmatch(string(keys), -1) {
		records = append(records, m[1])
	}
	if len(comments) < 40 || len(records) < 30 {
		t.Fatalf("%d comments and %d kinds of records: the check would check little", len(comments), len(records))
	}
	for _, w := range undefined(allDocuments(t)["docs/GLOSSARY.md"], comments, records) {
		t.Error(w)
	}
}

func TestGlossaryFails(t *testing.T) {
	const head = "| word | meaning | standard | package |\n|---|---|---|---|\n"
	const lane = "| **lane** | an order; its `mark` | | `gateway/queue` |\n"
	comments := map[string]string{"gateway/queue": "Package queue holds the lanes."}
	for name, test := range map[string]struct {
		text     string
		comments map[string]string
		records  []string
		want     int
	}{
		"sound":              {head + lane, comments, []string{"lane", "mark"}, 0},
		"no such package":    {head + lane + "| **b** | c | | `gateway/attic` |\n", comments, nil, 1},
		"unused":             {head + lane + "| **quay** | c | | `gateway/queue` |\n", comments, nil, 1},
		"part of a word":     {head + lane + "| **hold** | c | | `gateway/queue` |\n", map[string]string{"gateway/queue": "lanes, a household"}, nil, 1},
		"one word in source": {head + lane + "| **evidence set** | c | | `gateway/queue` |\n", map[string]string{"gateway/queue": "lanes, EvidenceSet"}, nil, 0},
		"twice":              {head + lane + lane, comments, nil, 1},
		"no package":         {head + lane + "| **queue** | c | |\n", comments, nil, 1},
		"a record":           {head + lane, comments, []string{"hold"}, 1},
		"no comment":         {head + lane, map[string]string{"gateway/queue": "lanes", "gateway/api": ""}, nil, 1},
		"other words":        {head + lane, map[string]string{"gateway/queue": "lanes", "gateway/api": "It knows everybody."}, nil, 1},
	} {
		if got := undefined(test.text, test.comments, test.records); len(got) != test.want {
			t.Errorf("%s: %q, want %d", name, got, test.want)
		}
	}
}

// Whoever opens a folder on the way in is told what is in it: the folders at the
// top, and those of integrations and examples.
func TestFoldersSayWhatTheyAre(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	folders := []string{"docs/cli", "docs/decisions", "docs/guides", "gateway/intake", "network/tools"}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && e.Name() != "bin" {
			folders = append(folders, e.Name())
		}
	}
	if len(folders) < 12 {
		t.Fatalf("%d folders: the check would check little", len(folders))
	}
	for _, f := range folders {
		if info, err := os.Stat(filepath.Join(root, f, "README.md")); err != nil || info.Size() == 0 {
			t.Errorf("%s has no README.md", f)
		}
	}
}
