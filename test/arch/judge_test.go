package arch

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOneJudgement: a verdict is made in one place.
func TestOneJudgement(t *testing.T) {
	files, err := sources(root)
	if err != nil {
		t.Fatal(err)
	}
	var uses []string
	for _, rel := range files {
		src, err := os.ReadFile(filepath.Join(root, rel))
		if err != nil {
			t.Fatal(err)
		}
		found, err := evaluations(rel, src)
		if err != nil {
			t.Fatal(err)
		}
		uses = append(uses, found...)
	}
	if len(uses) == 0 {
		t.Fatal("nobody uses policy.Evaluate: the check would check nothing")
	}
	for _, one := range judged(uses) {
		t.Error(one)
	}
}

func TestEvaluations(t *testing.T) {
	body := func(name, statement string) string {
		return "package p\nimport " + name + " \"github.com/waybill-dev/waybill/chaincode/policy\"\nfunc f() {\n" + statement + "\n}\n"
	}
	beside := ": policy.Evaluate beside the bench: ask state.Judge, or Judgement.Again"
	for _, test := range []struct {
		name, rel, src string
		want           []string
	}{
		{"the bench", "chaincode/state/query.go", body("", "policy.Evaluate(nil)"), nil},
		{"twice on the bench", "chaincode/state/query.go", body("", "policy.Evaluate(nil)\npolicy.Evaluate(nil)"),
			[]string{"chaincode/state/query.go:5: policy.Evaluate once more: Judgement.Again is the one place"}},
		{"a gateway", "gateway/api/judge.go", body("", "policy.Evaluate(nil)"), []string{"gateway/api/judge.go:4" + beside}},
		{"by another name", "chaincode/contract/a.go", body("law", "law.Evaluate(nil)"), []string{"chaincode/contract/a.go:4" + beside}},
		{"as a value", "cmd/waybill/a.go", body("", "judge := policy.Evaluate\njudge(nil)"), []string{"cmd/waybill/a.go:4" + beside}},
		{"without a name", "gateway/a.go", body(".", "Evaluate(nil)"), []string{"gateway/a.go:2" + beside}},
		{"another's", "gateway/a.go", "package p\nfunc f(ledger x) { ledger.Evaluate() }\n", nil},
		{"a test", "gateway/a_test.go", body("", "policy.Evaluate(nil)"), nil},
		{"the rules themselves", "chaincode/policy/a.go", body("", "policy.Evaluate(nil)"), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			uses, err := evaluations(test.rel, []byte(test.src))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, judged(uses)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
