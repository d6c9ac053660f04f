package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// answersPage is read as its two tables: cells by row, without the heads.
func answersPage(t *testing.T) (answers, senders [][]string) {
	t.Helper()
	raw, err := os.ReadFile("../../docs/guides/answers.md")
	if err != nil {
		t.Fatal(err)
	}
	var tables [][][]string
	inTable := false
	for line := range strings.Lines(string(raw)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) < 3 {
			inTable = false
			continue
		}
		if !inTable {
			tables, inTable = append(tables, nil), true
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		tables[len(tables)-1] = append(tables[len(tables)-1], cells)
	}
	if len(tables) != 2 {
		t.Fatalf("answers.md has %d tables, want two", len(tables))
	}
	return tables[0][2:], tables[1][2:]
}

// situation makes a request of a kind, and what handler and sink it meets; nil
// where the kind cannot be in it.
type situation func(t *testing.T, kind string, c *Connector, s *sink) *http.Request

func sent(t *testing.T, kind string, c Connector, raw []byte) *http.Request {
	t.Helper()
	_, header := load(t, kind, good(kind))
	if header.Get("Content-Type") == "application/json" && kind == KindDistribution {
		header.Set("Content-Type", v3Type)
	}
	return requestOf(t, c, raw, raw, header)
}

func goodBody(t *testing.T, kind string) []byte {
	t.Helper()
	raw, _ := load(t, kind, good(kind))
	return raw
}

func situations() map[string]situation {
	with := func(change func(t *testing.T, kind string, c *Connector, s *sink, r *http.Request)) situation {
		return func(t *testing.T, kind string, c *Connector, s *sink) *http.Request {
			r := sent(t, kind, *c, goodBody(t, kind))
			change(t, kind, c, s, r)
			return r
		}
	}
	return map[string]situation{
		"an event": with(func(*testing.T, string, *Connector, *sink, *http.Request) {}),
		"the same again": with(func(t *testing.T, kind string, c *Connector, s *sink, _ *http.Request) {
			s.again = true
		}),
		"an event of a repository that is not one of the connector's": with(func(_ *testing.T, _ string, c *Connector, _ *sink, _ *http.Request) {
			c.Repositories = []string{"somebody-else/**"}
		}),
		"an event that cannot be used": func(t *testing.T, kind string, c *Connector, _ *sink) *http.Request {
			var table map[string]names
			raw, err := os.ReadFile("testdata/hostile/names.table")
			if err = errors.Join(err, json.Unmarshal(raw, &table)); err != nil {
				t.Fatal(err)
			}
			var doc any
			if err := json.Unmarshal(goodBody(t, kind), &doc); err != nil || table[kind].Fixture != good(kind) || table[kind].Repository == "" {
				return nil
			}
			set(t, doc, table[kind].Repository, "a//b")
			if raw, err = json.Marshal(doc); err != nil {
				t.Fatal(err)
			}
			return sent(t, kind, *c, raw)
		},
		"a body that cannot be read": func(t *testing.T, kind string, c *Connector, _ *sink) *http.Request {
			return sent(t, kind, *c, []byte(`{"events":[`))
		},
		"a body that is too large": func(t *testing.T, kind string, c *Connector, _ *sink) *http.Request {
			return sent(t, kind, *c, append(goodBody(t, kind), bytes.Repeat([]byte{' '}, 9<<20)...))
		},
		"an id that came before with another body": with(func(_ *testing.T, _ string, _ *Connector, s *sink, _ *http.Request) {
			s.err = provenance.Errorf(provenance.Conflict, "event 1")
		}),
		"the proof is missing or wrong": with(func(t *testing.T, kind string, c *Connector, _ *sink, r *http.Request) {
			if kind == KindGAR {
				r.Header.Set("Authorization", "Bearer e30.e30.e30")
				return
			}
			c.Secrets = [][]byte{[]byte("another-secret12")}
		}),
		"a signature over more than is read": func(t *testing.T, kind string, c *Connector, _ *sink) *http.Request {
			if f, _ := formatOf(kind); f.sign == nil {
				return nil
			}
			return sent(t, kind, *c, bytes.Repeat([]byte{' '}, maxSigned+1))
		},
		"a body of another kind": func(t *testing.T, kind string, c *Connector, _ *sink) *http.Request {
			switch kind {
			case KindZot, KindGHCR, KindQuay, KindGeneric:
				return nil // TestAnotherKind: refused or kept
			}
			return sent(t, kind, *c, []byte(`{"object_kind":"push"}`))
		},
		"a media type that the kind does not send": with(func(_ *testing.T, _ string, _ *Connector, _ *sink, r *http.Request) {
			r.Header.Set("Content-Type", "text/html")
		}),
		"a compressed body": with(func(_ *testing.T, _ string, _ *Connector, _ *sink, r *http.Request) {
			r.Header.Set("Content-Encoding", "gzip")
		}),
		"another method":            with(func(_ *testing.T, _ string, _ *Connector, _ *sink, r *http.Request) { r.Method = http.MethodPut }),
		"no connector of that name": with(func(_ *testing.T, _ string, _ *Connector, _ *sink, r *http.Request) { r.URL.Path = "/hooks/nobody" }),
		"an origin that the connector does not list": func(t *testing.T, kind string, c *Connector, _ *sink) *http.Request {
			if kind != KindGAR && kind != KindEventGrid {
				return nil // others name one in some of their forms: TestScope
			}
			c.Origins = []string{"another"}
			return sent(t, kind, *c, goodBody(t, kind))
		},
		"too much at once": with(func(_ *testing.T, _ string, _ *Connector, s *sink, _ *http.Request) { s.busy = true }),
		"the queue or its disk is full": with(func(_ *testing.T, _ string, _ *Connector, s *sink, _ *http.Request) {
			s.err = provenance.Errorf(provenance.Full, "full")
		}),
	}
}

// The page of answers says what every kind's connector does.
func TestAnswersPage(t *testing.T) {
	answers, _ := answersPage(t)
	all := situations()
	for _, row := range answers {
		make, ok := all[row[0]]
		if !ok {
			t.Errorf("%q: no such situation here", row[0])
			continue
		}
		delete(all, row[0])
		tried := 0
		for _, kind := range Kinds() {
			c, s := connectorOf(t, kind), newSink()
			r := make(t, kind, &c, s)
			if r == nil {
				continue
			}
			tried++
			h := handlerOf(t, s, c)
			if s.busy {
				h.endpoints["main"].weight.Store(h.budget(h.limit(h.endpoints["main"])))
			}
			if s.again {
				h.ServeHTTP(httptest.NewRecorder(), sent(t, kind, c, goodBody(t, kind)))
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if fmt.Sprint(w.Code) != row[1] || row[2] != "" && !strings.Contains(w.Body.String(), fmt.Sprintf("%q:1", row[2])) {
				t.Errorf("%s, %s: %d %s; the page says %s, %s", kind, row[0], w.Code, w.Body, row[1], row[2])
			}
		}
		if tried == 0 {
			t.Errorf("%q: tried with no kind", row[0])
		}
	}
	for name := range all {
		t.Errorf("the page says nothing of %q", name)
	}
}

// Every kind's sender has its row, with the size that its connector reads.
func TestSendersPage(t *testing.T) {
	_, senders := answersPage(t)
	rows := map[string][]string{}
	for _, row := range senders {
		rows[strings.Trim(row[0], "`")] = row
		for i, cell := range row {
			if cell == "" {
				t.Errorf("%s: column %d is empty", row[0], i)
			}
		}
	}
	for _, kind := range Kinds() {
		row, ok := rows[kind]
		if !ok {
			t.Errorf("answers.md says nothing of %s", kind)
			continue
		}
		delete(rows, kind)
		h := handlerOf(t, newSink(), connectorOf(t, kind))
		if want := fmt.Sprintf("%d MiB", h.limit(h.endpoints["main"])>>20); row[1] != want {
			t.Errorf("%s: bodies up to %s, the page says %s", kind, want, row[1])
		}
	}
	for kind := range rows {
		t.Errorf("answers.md has a row of %q, which is no kind", kind)
	}
}
