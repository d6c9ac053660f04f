package signer

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReadServices(t *testing.T) {
	const from = `"validFor":{"start":"2025-01-01T00:00:00Z"}`
	config := func(ca, logs, logRule, stamps, stampRule string) string {
		return `{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","caUrls":[` + ca + `],"oidcUrls":[],"rekorTlogUrls":[` + logs + `],"tsaUrls":[` + stamps +
			`],"rekorTlogConfig":{` + logRule + `},"tsaConfig":{` + stampRule + `}}`
	}
	ca := `{"url":"https://ca.example","majorApiVersion":1,` + from + `,"operator":"a"}`
	v1 := `{"url":"https://log1.example","majorApiVersion":1,` + from + `,"operator":"a"}`
	v2 := `{"url":"https://log2.example","majorApiVersion":2,` + from + `,"operator":"a"}`
	other := `{"url":"https://log3.example","majorApiVersion":2,"validFor":{"start":"2025-06-01T00:00:00Z"},"operator":"b"}`
	past := `{"url":"https://past.example","majorApiVersion":2,"validFor":{"start":"2024-01-01T00:00:00Z","end":"2025-01-01T00:00:00Z"},"operator":"c"}`
	future := `{"url":"https://future.example","majorApiVersion":2,"validFor":{"start":"2027-01-01T00:00:00Z"},"operator":"d"}`
	newer := `{"url":"https://log9.example","majorApiVersion":9,` + from + `,"operator":"e"}`
	tsa := `{"url":"https://tsa.example/x","majorApiVersion":1,` + from + `,"operator":"a"}`
	any1, all := `"selector":"ANY"`, `"selector":"ALL"`
	for name, c := range map[string]struct {
		text string
		want Services
		bad  bool
	}{
		"any":                      {text: config(ca, v1, any1, tsa, any1), want: Services{"https://ca.example", []Log{{"https://log1.example", 1}}, []string{"https://tsa.example/x"}}},
		"the highest version":      {text: config(ca, v1+","+v2, any1, tsa, any1), want: Services{"https://ca.example", []Log{{"https://log2.example", 2}}, []string{"https://tsa.example/x"}}},
		"not a version unknown":    {text: config(ca, newer+","+v1, any1, "", any1), want: Services{"https://ca.example", []Log{{"https://log1.example", 1}}, nil}},
		"valid now":                {text: config(ca, past+","+future+","+v2, all, tsa, any1), want: Services{"https://ca.example", []Log{{"https://log2.example", 2}}, []string{"https://tsa.example/x"}}},
		"all, the newest first":    {text: config(ca, v2+","+other+","+v1, all, "", any1), want: Services{"https://ca.example", []Log{{"https://log3.example", 2}, {"https://log2.example", 2}}, nil}},
		"one of an operator":       {text: config(ca, v2+","+v2, all, "", any1), want: Services{"https://ca.example", []Log{{"https://log2.example", 2}}, nil}},
		"exactly two":              {text: config(ca, v2+","+other, `"selector":"EXACT","count":2`, "", any1), want: Services{"https://ca.example", []Log{{"https://log3.example", 2}, {"https://log2.example", 2}}, nil}},
		"more than there are":      {text: config(ca, v2, `"selector":"EXACT","count":2`, "", any1), bad: true},
		"none that is valid":       {text: config(ca, past, any1, tsa, any1), bad: true},
		"no authority":             {text: config("", v1, any1, tsa, any1), bad: true},
		"another version of files": {text: strings.Replace(config(ca, v1, any1, tsa, any1), "v0.2", "v0.1", 1), bad: true},
		"no JSON":                  {text: "signing", bad: true},
	} {
		got, err := ReadServices([]byte(c.text), time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC))
		if (err != nil) != c.bad {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, got); !c.bad && diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestServicesThatDoNotSuffice(t *testing.T) {
	for name, s := range map[string]Services{
		"nothing":                     {},
		"only a certificate":          {Authority: "https://ca.example"},
		"a log without time":          {Authority: "https://ca.example", Logs: []Log{{"https://log.example", 2}}},
		"a version that is not there": {Authority: "https://ca.example", Logs: []Log{{"https://log.example", 3}}, Stamps: []string{"https://tsa.example"}},
		"in the clear":                {Authority: "http://ca.example", Stamps: []string{"https://tsa.example"}},
		"a log in the clear":          {Authority: "https://ca.example", Logs: []Log{{"http://log.example", 1}}},
		"a file":                      {Authority: "file:///etc", Stamps: []string{"https://tsa.example"}},
		"with a password":             {Authority: "https://u:p@ca.example", Stamps: []string{"https://tsa.example"}},
	} {
		if _, err := s.Sign(t.Context(), "a.b.c", nil); err == nil || strings.Contains(err.Error(), "certify") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("of.a.file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	github := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" || r.URL.Query().Get("audience") != "sigstore" || r.URL.Query().Get("api-version") != "2.0" {
			http.Error(w, "who asks?", http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(`{"count":1,"value":"of.git.hub"}`))
	}))
	defer github.Close()
	env := map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": github.URL + "/x?api-version=2.0", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "secret"}
	get := func(k string) string { return env[k] }
	expect := func(file, want string) {
		t.Helper()
		if got, err := Token(t.Context(), file, get); err != nil || got != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	expect("", "of.git.hub")
	env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = "other"
	if _, err := Token(t.Context(), "", get); err == nil || strings.Contains(err.Error(), "other") {
		t.Errorf("%v", err)
	}
	env["SIGSTORE_ID_TOKEN"] = "of.git.lab"
	expect("", "of.git.lab")
	expect(file, "of.a.file")
	clear(env)
	if _, err := Token(t.Context(), "", get); err == nil {
		t.Error("a token of nobody")
	}
	if _, err := Token(t.Context(), file+"x", get); err == nil {
		t.Error("a file that is not there")
	}
	env["ACTIONS_ID_TOKEN_REQUEST_URL"] = "http://git.example/x"
	if _, err := Token(t.Context(), "", get); err == nil {
		t.Error("in the clear")
	}
}
