package intake

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Forgejo's own header counts as Gitea's does, and both together are one signature twice.
func TestForgejoSigns(t *testing.T) {
	c := connectorOf(t, KindGitea)
	raw, header := load(t, KindGitea, "push-forgejo")
	f := giteaFormat()
	signed := http.Header{}
	f.sign.apply(signed, c.Secrets[0], raw, received())
	code := signed.Get("X-Gitea-Signature")
	wrong := strings.Repeat("0", len(code))
	for name, test := range map[string]struct {
		gitea, forgejo string
		want           int
	}{
		"both": {code, code, 200}, "Gitea's": {code, "", 200}, "Forgejo's": {"", code, 200}, "neither": {"", "", 401}, "wrong": {wrong, wrong, 401},
		"upper case": {"", strings.ToUpper(code), 200}, "with a prefix": {"sha256=" + code, "", 401},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, Prefix+c.Name, strings.NewReader(string(raw)))
		r.Header = header.Clone()
		for h, v := range map[string]string{"X-Gitea-Signature": test.gitea, "X-Forgejo-Signature": test.forgejo} {
			if v != "" {
				r.Header.Set(h, v)
			}
		}
		w, s := httptest.NewRecorder(), newSink()
		handlerOf(t, s, c).ServeHTTP(w, r)
		if w.Code != test.want || (s.count() == 1) != (test.want == 200) {
			t.Errorf("%s: %d with %d stored: %s", name, w.Code, s.count(), w.Body)
		}
	}
}
