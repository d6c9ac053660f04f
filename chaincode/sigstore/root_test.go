package sigstore_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/sigstore"
	"github.com/waybill-dev/waybill/chaincode/sigstore/sigstoretest"
)

func TestCanonicalRoot(t *testing.T) {
	s := sigstoretest.New(t, start)
	other := sigstoretest.New(t, start).Document()
	doc := s.Document()
	for _, member := range []string{"tlogs", "certificateAuthorities"} {
		mine, _ := doc[member].([]any)
		theirs, _ := other[member].([]any)
		doc[member] = append(mine, theirs...)
	}
	set("2031-02-03T04:05:06.789000+01:00", "tlogs", "publicKey", "validFor", "end")(doc)
	set("sigstore.example", "tlogs", "operator")(doc)
	set(map[string]any{"organization": "Team & Co", "commonName": "team"}, "certificateAuthorities", "subject")(doc)
	first := parsed(t, doc)
	// The order of authorities, spacing, nulls and the spelling of the type say nothing.
	for _, member := range []string{"tlogs", "certificateAuthorities"} {
		list, _ := doc[member].([]any)
		slices.Reverse(list)
	}
	in(doc, "tlogs")["checkpointKeyId"] = nil
	doc["mediaType"] = "application/vnd.dev.sigstore.trustedroot.v0.2+json"
	var spaced bytes.Buffer
	if err := json.Indent(&spaced, sigstoretest.JSON(t, doc), "", "\t"); err != nil {
		t.Fatal(err)
	}
	second, err := sigstore.ParseTrustedRoot(spaced.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	third, err := sigstore.ParseTrustedRoot(first.Canonical())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*sigstore.TrustedRoot{second, third} {
		if !bytes.Equal(r.Canonical(), first.Canonical()) || !slices.Equal(r.Anchors(), first.Anchors()) {
			t.Errorf("two forms of one root:\n%s\n%s", first.Canonical(), r.Canonical())
		}
	}
	anchors := first.Anchors()
	if len(anchors) != 8 || !slices.IsSortedFunc(anchors, func(a, b sigstore.Anchor) int { return strings.Compare(a.ID, b.ID) }) {
		t.Errorf("anchors %+v", anchors)
	}
	ended := slices.ContainsFunc(anchors, func(a sigstore.Anchor) bool {
		return a.Kind == sigstore.TransparencyLog && a.Until.Equal(time.Date(2031, 2, 3, 3, 5, 6, 789e6, time.UTC)) && a.From.Equal(start) && a.Name == "https://rekor.example"
	})
	if !ended || !bytes.Contains(first.Canonical(), []byte(`"Team & Co"`)) {
		t.Errorf("anchors %+v", anchors)
	}
	// What is handed out cannot change the root.
	first.Canonical()[0] = 'x'
	if first.Canonical()[0] != '{' {
		t.Error("the canonical form was changed from outside")
	}
}

func parsed(t *testing.T, doc map[string]any) *sigstore.TrustedRoot {
	t.Helper()
	r, err := sigstore.ParseTrustedRoot(sigstoretest.JSON(t, doc))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestBadRoots(t *testing.T) {
	s := sigstoretest.New(t, start)
	again := func(member string) func(map[string]any) {
		return func(d map[string]any) {
			list, _ := d[member].([]any)
			d[member] = append(list, list[0])
		}
	}
	many := func(d map[string]any) { d["tlogs"] = make([]any, sigstore.MaxAuthorities+1) }
	key := base64.StdEncoding.EncodeToString(s.Root.Cert.RawSubjectPublicKeyInfo)
	cert := func(list ...any) []any {
		var out []any
		for _, c := range list {
			out = append(out, map[string]any{"rawBytes": c})
		}
		return out
	}
	raw := base64.StdEncoding.EncodeToString
	chain := func(member string, list ...any) func(map[string]any) {
		return set(cert(list...), member, "certChain", "certificates")
	}
	const cas, tsas = "certificateAuthorities", "timestampAuthorities"
	for what, c := range map[string]struct {
		change func(map[string]any)
		want   string
	}{
		"type":               {set("application/json", "mediaType"), "mediaType"},
		"no type":            {without("mediaType"), "mediaType"},
		"member unknown":     {set("x", "revoked"), "members are"},
		"no authority":       {without(cas), "no certificate authority"},
		"no witness":         {func(d map[string]any) { delete(d, "tlogs"); delete(d, tsas) }, "nobody could tell"},
		"17 logs":            {many, "list of at most 16"},
		"log twice":          {again("tlogs"), "the same log again"},
		"authority twice":    {again(cas), "the same authority again"},
		"log's own member":   {set(1, "tlogs", "threshold"), "not known"},
		"no start":           {set(nil, "tlogs", "publicKey", "validFor", "start"), "validFor with a start"},
		"no window":          {set(nil, cas, "validFor"), "validFor with a start"},
		"start no time":      {set("yesterday", cas, "validFor", "start"), "start is no RFC 3339"},
		"start out of years": {set("0001-01-01T00:00:00Z", cas, "validFor", "start"), "start is no RFC 3339"},
		"end before":         {set("2020-01-01T00:00:00Z", cas, "validFor", "end"), "before the start"},
		"window's member":    {set("x", cas, "validFor", "until"), "validFor with a start"},
		"other hash":         {set("SHA2_512", "tlogs", "hashAlgorithm"), "SHA2_256"},
		"key of no kind":     {set("PKIX_ED25519", "tlogs", "publicKey", "keyDetails"), "its key is not of the kind"},
		"key damaged":        {set("AAAA", "tlogs", "publicKey", "rawBytes"), "its key is not of the kind"},
		"id of another key":  {set(key, "tlogs", "publicKey", "rawBytes"), "not the id of its key"},
		"id short":           {set("AAAA", "ctlogs", "logId", "keyId"), "not the id of its key"},
		"another origin": {func(d map[string]any) {
			l, _ := d["tlogs"].([]any)
			set("https://log2.example", "baseUrl")(l[1].(map[string]any))
		}, "not the id of its key"}, //nolint:forcetypeassert // written by this test
		"name too long":      {set(strings.Repeat("x", 513), "tlogs", "baseUrl"), "baseUrl is no text"},
		"name turned around": {set("a\u202eb", cas, "uri"), "uri is no text"},
		"name with a line":   {set("a\nb", cas, "uri"), "uri is no text"},
		"no chain":           {set(nil, cas, "certChain"), "1 to 6 certificates"},
		"seven certificates": {chain(cas, 1, 2, 3, 4, 5, 6, 7), "1 to 6 certificates"},
		"no certificate":     {chain(cas, "AAAA"), "cannot be read"},
		"chain backwards":    {chain(cas, raw(s.Root.Cert.Raw), raw(s.Intermediate.Cert.Raw)), "no chain"},
		"signer in a CA":     {chain(cas, raw(s.Stamper.Cert.Raw), raw(s.StamperRoot.Cert.Raw)), "no authority's"},
		"stamper alone":      {chain(tsas, raw(s.Stamper.Cert.Raw)), "no authority's"},
		"strangers in it":    {chain(cas, raw(s.Intermediate.Cert.Raw), raw(s.StamperRoot.Cert.Raw)), "no chain"},
	} {
		t.Run(what, func(t *testing.T) {
			doc := s.Document()
			c.change(doc)
			_, err := sigstore.ParseTrustedRoot(sigstoretest.JSON(t, doc))
			if err == nil || !strings.Contains(err.Error(), c.want) || provenance.CodeOf(err) != provenance.Invalid {
				t.Errorf("%v: want %q", err, c.want)
			}
		})
	}
	for _, text := range []string{"", "[]", "{}", `{"mediaType":"a","MediaType":"b"}`, strings.Repeat(" ", sigstore.MaxTrustedRoot+1)} {
		if _, err := sigstore.ParseTrustedRoot([]byte(text)); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

// The public roots of real deployments are read, and written in a form that is read again.
func TestRealRoots(t *testing.T) {
	for _, c := range sigstoretest.Suite(t) {
		if strings.HasPrefix(c.Name, "trust-root-tlog-missing") {
			continue
		}
		r, err := sigstore.ParseTrustedRoot(c.Root)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		if again, err := sigstore.ParseTrustedRoot(r.Canonical()); err != nil || !bytes.Equal(again.Canonical(), r.Canonical()) {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
}
