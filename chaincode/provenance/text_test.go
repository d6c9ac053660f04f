package provenance

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		limit int
		clean string // "": it passes as it is
	}{
		"plain":               {"docker/27.0 (linux)", 255, ""},
		"other scripts":       {"Größe 名前 שלום", 255, ""},
		"a real U+FFFD":       {"a\ufffdb", 255, ""},
		"nothing":             {"", 0, ""},
		"not UTF-8":           {"a\xff\xfeb", 255, "a\ufffd\ufffdb"},
		"half a character":    {"a\xe5\x90", 255, "a\ufffd\ufffd"},
		"surrogate":           {"\xed\xa0\x80", 255, "\ufffd\ufffd\ufffd"},
		"NUL":                 {"a\x00b", 255, "a\ufffdb"},
		"line end":            {"a\r\nb", 255, "a\ufffd\ufffdb"},
		"tab":                 {"a\tb", 255, "a\ufffdb"},
		"escape":              {"\x1b[31mred", 255, "\ufffd[31mred"},
		"delete":              {"a\x7f", 255, "a\ufffd"},
		"C1":                  {"a\u0085b\u009b", 255, "a\ufffdb\ufffd"},
		"line separator":      {"a\u2028b\u2029c", 255, "a\ufffdb\ufffdc"},
		"override":            {"admin\u202egpj.", 255, "admin\ufffdgpj."},
		"embeddings":          {"\u202a\u202b\u202c\u202d", 255, "\ufffd\ufffd\ufffd\ufffd"},
		"isolates":            {"\u2066\u2067\u2068\u2069", 255, "\ufffd\ufffd\ufffd\ufffd"},
		"beside the bounds":   {"\u2027\u2030\u2065\u206a", 255, ""},
		"too long":            {strings.Repeat("a", 300), 255, strings.Repeat("a", 255)},
		"cut at a character":  {"aé", 2, "a"},
		"bad and at the end":  {"aaa\xff", 5, "aaa"},
		"longer when cleaned": {strings.Repeat("\x01", 255), 255, strings.Repeat("\ufffd", 85)},
	} {
		t.Run(name, func(t *testing.T) {
			err := CheckText("actor", c.text, c.limit)
			if (err == nil) != (c.clean == "") || err != nil && (CodeOf(err) != Invalid || !strings.Contains(err.Error(), "actor: ")) {
				t.Errorf("check: %v", err)
			}
			if c.clean == "" {
				c.clean = c.text
			}
			if got := CleanText(c.text, c.limit); got != c.clean {
				t.Errorf("clean: %q, want %q", got, c.clean)
			}
		})
	}
}

// An event with such text is refused wherever it stands.
func TestEventText(t *testing.T) {
	for name, spoil := range map[string]func(e *Event, s string){
		"source":       func(e *Event, s string) { e.Source = s },
		"mediaType":    func(e *Event, s string) { e.MediaType = s },
		"artifactType": func(e *Event, s string) { e.ArtifactType = s },
		"actor":        func(e *Event, s string) { e.Actor = s },
		"address":      func(e *Event, s string) { e.Address = s },
		"userAgent":    func(e *Event, s string) { e.UserAgent = s },
	} {
		t.Run(name, func(t *testing.T) {
			for _, bad := range []string{"\xff", "a\x00", "a\u202eb", strings.Repeat("a", 256)} {
				e := Event{Action: Pull, Source: "generic", Repository: "app", Digest: SHA256Of(nil)}
				if err := e.Check(); err != nil {
					t.Fatal(err)
				}
				spoil(&e, bad)
				if err := e.Check(); CodeOf(err) != Invalid {
					t.Errorf("%q: %v", bad, err)
				}
				spoil(&e, CleanText(bad, MaxText))
				if err := e.Check(); err != nil {
					t.Errorf("%q cleaned: %v", bad, err)
				}
			}
		})
	}
}

func FuzzCleanText(f *testing.F) {
	for _, s := range []string{"", "docker/27.0", "a\xffb", "\u202e", strings.Repeat("é", 200), "\x00\x1f\u2028"} {
		f.Add(s, 255)
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		if limit < 0 || limit > 1<<16 {
			return
		}
		clean := CleanText(s, limit)
		if err := CheckText("text", clean, limit); err != nil {
			t.Fatalf("%q cleaned to %q: %v", s, clean, err)
		}
		if again := CleanText(clean, limit); again != clean {
			t.Fatalf("%q cleaned twice: %q, then %q", s, clean, again)
		}
		if CheckText("text", s, limit) == nil && clean != s {
			t.Fatalf("%q was fine and became %q", s, clean)
		}
		if len(s)*3 <= limit && utf8.RuneCountInString(clean) != utf8.RuneCountInString(s) {
			t.Fatalf("%q lost characters: %q", s, clean)
		}
	})
}
