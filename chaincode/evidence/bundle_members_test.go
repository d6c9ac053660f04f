package evidence

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	own "github.com/waybill-dev/waybill/test/sigstore"
)

// made is a bundle of a Sigstore of one's own, to be changed, and the root below it.
type made struct {
	t      *testing.T
	s      *own.Instance
	bundle m
	now    time.Time
}

func minted(t *testing.T, with own.Evidence) made {
	t.Helper()
	at := time.Date(2025, 3, 2, 9, 0, 0, 0, time.UTC)
	s, err := own.New("own", func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	text, err := s.Sign(own.Identity{Email: "a@example.com", Issuer: "https://accounts.example"}, []byte("manifest"), with)
	if err != nil {
		t.Fatal(err)
	}
	b := made{t: t, s: s, now: at.AddDate(1, 0, 0)}
	if err := json.Unmarshal(text, &b.bundle); err != nil {
		t.Fatal(err)
	}
	return b
}

// verdict is that on the bundle as it is, below a root.
func (b made) verdict(root []byte) error {
	b.t.Helper()
	k, err := ParseKey("own", string(TrustedRoot), string(root))
	if err != nil {
		return err
	}
	_, err = Verify(Request{Subject: digest(b.t, "sha256:"+hash([]byte("manifest"))), Format: FormatBundle, Envelope: toJSON(b.t, b.bundle), Now: b.now}, &k)
	return err
}

// objects lists every object of a document.
func objects(v any) []m {
	var out []m
	switch v := v.(type) {
	case m:
		out = append(out, v)
		for _, name := range sortedNames(v) {
			out = append(out, objects(v[name])...)
		}
	case []any:
		for _, e := range v {
			out = append(out, objects(e)...)
		}
	}
	return out
}

// TestUnknownMembers: a member that others would refuse, at every place of a bundle.
func TestUnknownMembers(t *testing.T) {
	for _, with := range []own.Evidence{{V1: true, Stamp: true}, {V2: true, Stamp: true}, {Promise: true, Version: "0.1", Chain: true}} {
		b := minted(t, with)
		if err := b.verdict(b.s.TrustedRoot()); err != nil {
			t.Fatal(err)
		}
		all := objects(b.bundle)
		if len(all) < 10 {
			t.Errorf("%d objects", len(all))
		}
		for _, o := range all {
			for _, name := range []string{"unknown", "tlog_entries", "media_type"} {
				o[name] = "x"
				if err := b.verdict(b.s.TrustedRoot()); provenance.CodeOf(err) != provenance.Invalid {
					t.Errorf("%s beside %v: %v", name, sortedNames(o), err)
				}
				delete(o, name)
			}
		}
	}
}

// TestEntriesOfOthers: an entry of a log that the root does not know helps nothing, and
// is about this signature or refuses it.
func TestEntriesOfOthers(t *testing.T) {
	both, foreign := minted(t, own.Evidence{V1: true, V2: true, Stamp: true}), minted(t, own.Evidence{V2: true, Stamp: true})
	known := both.s.TrustedRoot(own.RekorV2)
	if err := both.verdict(known); err != nil {
		t.Fatal(err)
	}
	entries := both.bundle["verificationMaterial"].(m)["tlogEntries"].([]any)
	right := entries[1]
	entries[1] = list(foreign.bundle, "verificationMaterial", "tlogEntries")[0]
	if err := both.verdict(known); err == nil || !strings.Contains(err.Error(), "another signature") {
		t.Errorf("about something else: %v", err)
	}
	entries[1] = right
	// A refusal has no line ends of the one who was refused.
	right.(m)["kindVersion"] = m{"kind": "hashed\nrekord", "version": "0.0.\x1b2"}
	if err := both.verdict(known); err == nil || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
		t.Errorf("%q", err)
	}
}

// TestForeignStamper: a timestamp that brings another certificate than the authority's.
func TestForeignStamper(t *testing.T) {
	b := minted(t, own.Evidence{Stamp: true})
	root := b.s.TrustedRoot(own.RekorV1, own.RekorV2)
	if err := b.verdict(root); err != nil {
		t.Fatal(err)
	}
	var authorities struct {
		TimestampAuthorities []struct {
			CertChain struct{ Certificates []struct{ RawBytes []byte } }
		}
	}
	if err := json.Unmarshal(root, &authorities); err != nil {
		t.Fatal(err)
	}
	cert := authorities.TimestampAuthorities[0].CertChain.Certificates[0].RawBytes
	stamp := list(b.bundle, "verificationMaterial", "timestampVerificationData", "rfc3161Timestamps")[0].(m)
	der, err := base64.StdEncoding.DecodeString(str(stamp, "signedTimestamp"))
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(der, cert)
	if at < 0 {
		t.Fatal("the timestamp brings no certificate")
	}
	for what, i := range map[string]int{"its signature": len(cert) - 1, "its serial number": 20} {
		changed := bytes.Clone(der)
		changed[at+i] ^= 1
		stamp["signedTimestamp"] = b64(changed)
		if err := b.verdict(root); err == nil || !strings.Contains(err.Error(), "no time of signing") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestWindowsWithoutEnd: an end that is empty is none that was forgotten.
func TestWindowsWithoutEnd(t *testing.T) {
	s := minted(t, own.Evidence{V1: true}).s
	s.End(own.CA, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	text := string(s.TrustedRoot())
	if _, err := ParseKey("own", string(TrustedRoot), text); err != nil {
		t.Fatal(err)
	}
	if _, err := ParseKey("own", string(TrustedRoot), strings.Replace(text, "2026-01-01T00:00:00.000Z", "", 1)); err == nil {
		t.Error("taken for open")
	}
}
