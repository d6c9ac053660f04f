package arch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

func TestImports(t *testing.T) {
	g, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(g.ours()); n < 5 {
		t.Fatalf("go list found %d packages of ours: the check would check nothing", n)
	}
	for _, breach := range breaches(g) {
		t.Error(breach)
	}
}

func TestManners(t *testing.T) {
	files, err := sources(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("found %d Go files: the check would check nothing", len(files))
	}
	for _, rel := range files {
		src, err := os.ReadFile(filepath.Join(root, rel))
		if err != nil {
			t.Fatal(err)
		}
		found, err := misbehaviours(rel, src)
		if err != nil {
			t.Error(err)
		}
		for _, one := range found {
			t.Error(one)
		}
	}
}

// The rules must be able to fail: each case is a house with one broken wall.
func TestBreaches(t *testing.T) {
	std := node{standard: true}
	for _, test := range []struct {
		name string
		g    graph
		want string // "" for a sound house
	}{
		{"sound", graph{
			full("gateway"):        {imports: []string{full("gateway/queue"), full("gateway/ledger")}},
			full("gateway/queue"):  {imports: []string{full("chaincode/provenance"), "database/sql"}},
			full("gateway/ledger"): {imports: []string{"github.com/hyperledger/fabric-gateway/pkg/client"}},
			"database/sql":         std,
		}, ""},
		{"siblings", graph{
			full("gateway/queue"): {imports: []string{full("gateway/ledger")}},
		}, "gateway/queue\n\t-> gateway/ledger"},
		{"loops", graph{
			full("gateway/sweep"): {imports: []string{full("gateway/record")}},
		}, "gateway/sweep\n\t-> gateway/record"},
		{"upwards", graph{
			full("gateway/queue"): {imports: []string{full("gateway")}},
		}, "gateway/queue\n\t-> gateway"},
		{"on no floor", graph{full("gateway/attic"): {}}, "on no floor"},
		{"outwards", graph{
			full("chaincode/policy"): {imports: []string{full("chaincode/state")}},
		}, "chaincode/policy\n\t-> chaincode/state"},
		{"second door", graph{
			full("gateway/api"): {imports: []string{"database/sql"}}, "database/sql": std,
		}, "one door: only gateway/sqldb, gateway/queue, gateway/index, test may import database/sql"},
		{"like-named module is no door", graph{
			full("gateway/queue"): {imports: []string{"modernc.org/sqlitex"}},
		}, ""},
		{"through a stranger", graph{
			full("chaincode/provenance"): {imports: []string{"strings"}},
			full("chaincode/policy"):     {imports: []string{full("chaincode/provenance"), "sort"}},
			"sort":                       {imports: []string{"strings"}, standard: true},
			"strings":                    std,
		}, ""},
		{"foreign module in the rules", graph{
			full("chaincode/policy"):     {imports: []string{full("chaincode/provenance")}},
			full("chaincode/provenance"): {imports: []string{"example.org/yaml"}},
			"example.org/yaml":           {},
		}, "chaincode/policy\n\t-> chaincode/provenance\n\t-> example.org/yaml"},
		{"reached through others", graph{
			full("gateway/intake"): {imports: []string{"example.org/a"}},
			"example.org/a":        {imports: []string{"github.com/spf13/viper"}},
		}, "gateway/intake\n\t-> example.org/a\n\t-> github.com/spf13/viper"},
		{"not on the plan", graph{full("attic"): {}}, "not on the plan"},
		{"attic by name", graph{full("gateway/api/utils"): {}}, "named after what it holds"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := strings.Join(breaches(test.g), "\n")
			if test.want == "" && got != "" {
				t.Errorf("a sound house fails:\n%s", got)
			}
			if !strings.Contains(got, test.want) {
				t.Errorf("got:\n%s\nwant it to contain:\n%s", got, test.want)
			}
		})
	}
}

func TestMisbehaviours(t *testing.T) {
	body := func(imports, statement string) string {
		return "package p\n" + imports + "\nfunc f() {\n" + statement + "\n}\n"
	}
	for _, test := range []struct {
		name, rel, src string
		want           []string
	}{
		{"fine", "gateway/a.go", body("", ""), nil},
		{"panic", "gateway/a.go", body("", `panic("no")`), []string{"gateway/a.go:4: panic: return an error"}},
		{"renamed sleep", "network/a.go", body(`import clock "time"`, "clock.Sleep(1)"),
			[]string{"network/a.go:4: time.Sleep: wait on a ticker or a timer, and on ctx"}},
		{"exit", "network/a.go", body(`import "os"`, "os.Exit(1)"), []string{"network/a.go:4: os.Exit below main: return an error"}},
		{"exit in main", "cmd/waybill/main.go", "package main\nimport \"os\"\nfunc main() { os.Exit(1) }\n", nil},
		{"clock in the chaincode", "chaincode/policy/a.go", body(`import "time"`, "_ = time.Now()"),
			[]string{"chaincode/policy/a.go:4: time.Now in the chaincode: peers would disagree"}},
		{"clock in the gateway", "gateway/a.go", body(`import "time"`, "_ = time.Now()"), nil},
		{"method of the same name", "gateway/a.go", body("", "var time x; time.Sleep(1)"), nil},
		{"tests may", "gateway/a_test.go", body("", `panic("no")`), nil},
		{"long", "gateway/a.go", "package p\n" + strings.Repeat("\n", maxLines),
			[]string{"gateway/a.go: 401 lines, at most 400: it holds more than one thing"}},
		{"long test", "gateway/a_test.go", "package p\n" + strings.Repeat("\n", maxLines),
			[]string{"gateway/a_test.go: 401 lines, at most 400: it holds more than one thing"}},
		{"long but generated", "gateway/a.go", "// Code generated by x. DO NOT EDIT.\n\npackage p\n" + strings.Repeat("\n", maxLines), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := misbehaviours(test.rel, []byte(test.src))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
