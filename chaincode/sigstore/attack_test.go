package sigstore_test

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/sigstore"
	"github.com/waybill-dev/waybill/chaincode/sigstore/sigstoretest"
)

type entries = []map[string]any

// in goes down a document to a member's object, of a list to its first entry.
func in(document map[string]any, path ...string) map[string]any {
	for _, name := range path {
		switch v := document[name].(type) {
		case map[string]any:
			document = v
		case []any:
			document, _ = v[0].(map[string]any)
		}
	}
	return document
}

// set changes one member, deep in a document.
func set(value any, path ...string) func(map[string]any) {
	return func(document map[string]any) { in(document, path[:len(path)-1]...)[path[len(path)-1]] = value }
}

func changed(entry map[string]any, change func(map[string]any)) entries {
	change(entry)
	return entries{entry}
}

func TestTimes(t *testing.T) {
	f := newFixture(t, github())
	logged := func() entries { return entries{f.entry("dsse", "0.0.1")} }
	// Of two times the more favourable one may not be chosen: the chain holds at both.
	refused(t, f.root(), f.material(logged(), f.stamp(signed.Add(11*time.Minute))), "no authority of the trusted root vouches for the certificate at 2025-03-04T00:11:00Z")
	refused(t, f.root(), f.material(logged(), f.stamp(signed), f.stamp(signed.Add(-time.Second))), "no authority")
	between := set(map[string]any{"start": start.Format(time.RFC3339), "end": signed.Add(time.Minute).Format(time.RFC3339)}, "certificateAuthorities", "validFor")
	refused(t, f.root(between), f.material(logged(), f.stamp(signed.Add(2*time.Minute))), "no authority of the trusted root vouches for the certificate at 2025-03-04T00:02:00Z")
	early := f.V1.Entry("dsse", "0.0.1", f.signed.Body(t, "dsse", "0.0.1"), signed.Add(-time.Second))
	refused(t, f.root(), f.material(entries{early}), "outside of the certificate's time")
	// A time that nobody signed proves nothing, and may not contradict either.
	unsigned := func(at string) entries {
		e := f.entry("dsse", "0.0.1")
		delete(e, "inclusionPromise")
		e["integratedTime"] = at
		return entries{e}
	}
	refused(t, f.root(), f.material(unsigned("1741046401")), "no time of signing")
	refused(t, f.root(), f.material(unsigned("1741099999"), f.stamp(signed)), "outside of the certificate's time")
	if v, err := f.root().Verify(f.material(unsigned("0"), f.stamp(signed)), now); err != nil || len(v.Times) != 1 || !v.Times[0].Equal(signed) {
		t.Errorf("%v, %+v", err, v)
	}
	// Nobody signs after the transaction, but for clocks that differ.
	m := f.material(logged())
	for before, ok := range map[time.Duration]bool{15 * time.Minute: true, 15*time.Minute + time.Second: false} {
		if _, err := f.root().Verify(m, signed.Add(time.Second).Add(-before)); (err == nil) != ok {
			t.Errorf("%s before: %v", before, err)
		}
	}
}

// Every authority counts in its window alone, both ends of it included.
func TestWindows(t *testing.T) {
	f := newFixture(t, github())
	at := signed.Add(time.Minute)
	v1 := f.material(entries{f.entry("dsse", "0.0.1")})
	v2 := f.material(entries{f.entry("hashedrekord", "0.0.2")}, f.stamp(at))
	second := func(d map[string]any) { d["tlogs"] = d["tlogs"].([]any)[1:] } //nolint:forcetypeassert // written above
	for name, c := range map[string]struct {
		m     sigstore.Material
		path  []string
		moved func(map[string]any)
		at    time.Time
	}{
		"log v1":               {v1, []string{"tlogs", "publicKey", "validFor"}, nil, signed.Add(time.Second)},
		"log v2":               {v2, []string{"tlogs", "publicKey", "validFor"}, second, at},
		"timestamp authority":  {v2, []string{"timestampAuthorities", "validFor"}, nil, at},
		"certificate by log":   {v1, []string{"certificateAuthorities", "validFor"}, nil, signed.Add(time.Second)},
		"certificate by stamp": {v2, []string{"certificateAuthorities", "validFor"}, nil, at},
		"CT log":               {v1, []string{"ctlogs", "publicKey", "validFor"}, nil, signed},
	} {
		for edge, ok := range map[string]bool{"end": true, "start": true, "ended": false, "not started": false} {
			t.Run(name+" "+edge, func(t *testing.T) {
				window := map[string]any{"start": start.Format(time.RFC3339)}
				switch edge {
				case "end":
					window["end"] = c.at.Format(time.RFC3339)
				case "ended":
					window["end"] = c.at.Add(-time.Millisecond).Format(time.RFC3339Nano)
				case "start":
					window["start"] = c.at.Format(time.RFC3339)
				case "not started":
					window["start"] = c.at.Add(time.Millisecond).Format(time.RFC3339Nano)
				}
				changes := []func(map[string]any){set(window, c.path...)}
				if c.moved != nil {
					changes = append([]func(map[string]any){c.moved}, changes...)
				}
				if _, err := f.root(changes...).Verify(c.m, now); (err == nil) != ok {
					t.Errorf("%v", err)
				}
			})
		}
	}
}

func TestForgedEntries(t *testing.T) {
	f := newFixture(t, github())
	stranger := newFixture(t, github())
	stamp := f.stamp(signed)
	v1 := func(change func(map[string]any)) sigstore.Material {
		return f.material(changed(f.entry("dsse", "0.0.1"), change))
	}
	v2 := func(change func(map[string]any)) sigstore.Material {
		return f.material(changed(f.entry("hashedrekord", "0.0.2"), change), stamp)
	}
	bare := f.signed
	bare.Signature = sigstoretest.Sign(t, f.key, f.signed.Message)
	otherEntry := f.V1.Entry("dsse", "0.0.1", bare.Body(t, "dsse", "0.0.1"), signed.Add(time.Second))
	otherV2 := f.V2.Entry("hashedrekord", "0.0.2", bare.Body(t, "hashedrekord", "0.0.2"), signed)
	reV2 := f.signed.Body(t, "hashedrekord", "0.0.2")
	foreign := stranger.V1.Entry("dsse", "0.0.1", f.signed.Body(t, "dsse", "0.0.1"), signed.Add(time.Second))
	underName := changed(stranger.V1.Entry("dsse", "0.0.1", f.signed.Body(t, "dsse", "0.0.1"), signed), set(in(f.entry("dsse", "0.0.1"), "logId"), "logId"))
	twice := entries{f.entry("dsse", "0.0.1"), f.entry("dsse", "0.0.1")}
	twice[1]["logIndex"] = twice[0]["logIndex"]
	typed := bytes.Replace(f.signed.Body(t, "intoto", "0.0.2"), []byte("vnd.in-toto"), []byte("vnd.other"), 1)
	spaced := append([]byte(" "), reV2...)
	for name, c := range map[string]struct {
		m    sigstore.Material
		want string
	}{
		"promise of another entry":    {v1(set(otherEntry["inclusionPromise"], "inclusionPromise")), "promise is not by"},
		"body of another entry":       {v1(set(otherEntry["canonicalizedBody"], "canonicalizedBody")), "another signature"},
		"proof of another entry":      {v1(set(otherEntry["inclusionProof"], "inclusionProof")), "does not lead"},
		"other time":                  {v1(set("1741046402", "integratedTime")), "promise is not by"},
		"other index":                 {v1(set("7", "logIndex")), "promise is not by"},
		"entry of a stranger's log":   {f.material(entries{foreign}), "no entry of a transparency log"},
		"stranger under our log's id": {f.material(underName), "promise is not by"},
		"v1 entry under the v2 log":   {v1(set(base64.StdEncoding.EncodeToString(f.V2.ID), "logId", "keyId")), "promise is not by"},
		"v2 with a promise":           {v2(set(f.entry("dsse", "0.0.1")["inclusionPromise"], "inclusionPromise")), "promise is not by"},
		"v2 under the v1 log":         {v2(set(base64.StdEncoding.EncodeToString(f.V1.ID), "logId", "keyId")), "not signed by"},
		"v2 proof of another":         {v2(set(otherV2["inclusionProof"], "inclusionProof")), "does not lead"},
		"v2 other index":              {v2(set("0", "logIndex")), "does not lead"},
		"v2 index beyond the tree":    {v2(set("9007199254740991", "logIndex")), "does not lead"},
		"v2 spaced body":              {f.material(entries{f.V2.Entry("hashedrekord", "0.0.2", spaced, signed)}, stamp), "another signature"},
		"v2 in the v1 log":            {f.material(entries{f.V1.Entry("hashedrekord", "0.0.2", reV2, signed)}, stamp), "promise is not by"},
		"v1 in the v2 log":            {f.material(entries{f.V2.Entry("dsse", "0.0.1", f.signed.Body(t, "dsse", "0.0.1"), signed)}, stamp), "not signed by"},
		"kind is another":             {v1(set("intoto", "kindVersion", "kind")), "the bundle says \"intoto\""},
		"version is another":          {v1(set("0.0.2", "kindVersion", "version")), "the bundle says \"dsse\" \"0.0.2\""},
		"kind unknown":                {f.material(entries{f.V1.Entry("rekord", "0.0.1", []byte(`{"apiVersion":"0.0.1","kind":"rekord","spec":{}}`), signed)}), "unknown"},
		"checkpoint of a stranger":    {v1(set(stranger.V1.Checkpoint(6, make([]byte, 32)), "inclusionProof", "checkpoint", "envelope")), "not signed by"},
		"root of no checkpoint":       {v1(set(base64.StdEncoding.EncodeToString(make([]byte, 32)), "inclusionProof", "rootHash")), "another tree"},
		"size of no checkpoint":       {v1(set("5", "inclusionProof", "treeSize")), "another tree"},
		"no proof":                    {f.complete(sigstore.Material{Entries: []sigstore.Entry{{LogID: f.V1.ID, Body: []byte("{}")}}}), "beyond its bounds"},
		"of another payloadType":      {f.material(entries{f.V1.Entry("intoto", "0.0.2", typed, signed)}), "another signature"},
		"twice":                       {f.material(twice), "there twice"},
		"one good, one forged":        {f.material(entries{f.entry("dsse", "0.0.1"), otherEntry}), "another signature"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, f.root(), c.m, c.want) })
	}
	// One of a log that the root does not know is passed over beside a good one.
	if v, err := f.root().Verify(f.material(entries{foreign, f.entry("dsse", "0.0.1")}), now); err != nil || len(v.Times) != 1 {
		t.Errorf("%v, %+v", err, v)
	}
	// The twin of a logged signature is not the logged one.
	m := f.material(entries{f.entry("dsse", "0.0.1")})
	m.Signature = twin(t, f.key, m.Signature)
	m.Verifies = f.complete(m).Verifies
	refused(t, f.root(), f.twinned(m), "another signature")
}

// twinned makes the material's check see its own signature.
func (f *fixture) twinned(m sigstore.Material) sigstore.Material {
	g := *f
	g.signed.Signature = m.Signature
	out := g.complete(m)
	out.Entries = m.Entries
	return out
}

// An authority of one Sigstore does not help under the root of another, nor in its place.
func TestMixedAuthorities(t *testing.T) {
	f, other := newFixture(t, github()), newFixture(t, github())
	at := signed.Add(time.Minute)
	m := f.material(entries{f.entry("dsse", "0.0.1"), f.entry("hashedrekord", "0.0.2")}, f.stamp(at))
	theirs := other.Document()
	for member, want := range map[string]string{
		"tlogs": "no entry of a transparency log", "ctlogs": "none of its 1 certificate timestamps",
		"certificateAuthorities": "no authority of the trusted root",
	} {
		refused(t, f.root(set(theirs[member], member)), m, want)
	}
	// A stamp of a stranger is disregarded, and with it the one time there was.
	refused(t, f.root(set(theirs["timestampAuthorities"], "timestampAuthorities")), f.material(entries{f.entry("hashedrekord", "0.0.2")}, f.stamp(at)), "no time of signing")
	// The certificate of one key with the signature of another.
	swapped := f.material(entries{f.entry("dsse", "0.0.1")})
	swapped.Certificate = f.Certificate(other.key.Public(), signed, github()).Raw
	refused(t, f.root(), swapped, "not by its certificate")
}

func TestTimestamps(t *testing.T) {
	f := newFixture(t, github())
	stranger := sigstoretest.New(t, start)
	at := signed.Add(time.Minute)
	root := f.root(without("tlogs"))
	ca := sigstoretest.Authority{Key: f.Intermediate.Key, Cert: f.Intermediate.Cert}
	leaf := sigstoretest.Authority{Key: f.key, Cert: f.signed.Certificate}
	stamp := func(how sigstoretest.Stamp) sigstore.Material {
		return f.material(nil, f.Timestamp(f.signed.Signature, at, how))
	}
	good, second := f.stamp(at), f.NewStamper()
	for name, c := range map[string]struct {
		m  sigstore.Material
		ok bool
	}{
		"without certificates":      {stamp(sigstoretest.Stamp{}), true},
		"with its certificate":      {stamp(sigstoretest.Stamp{Embed: certs(f.Stamper.Cert)}), true},
		"with its chain":            {stamp(sigstoretest.Stamp{Embed: certs(f.StamperRoot.Cert, f.Stamper.Cert)}), true},
		"of a stranger":             {stamp(sigstoretest.Stamp{By: &stranger.Stamper}), false},
		"of a stranger, with chain": {stamp(sigstoretest.Stamp{By: &stranger.Stamper, Embed: certs(stranger.Stamper.Cert, stranger.StamperRoot.Cert)}), false},
		"by the stamper's root":     {stamp(sigstoretest.Stamp{By: &f.StamperRoot, Embed: certs(f.StamperRoot.Cert)}), false},
		"by the certificates' CA":   {stamp(sigstoretest.Stamp{By: &ca, Embed: certs(f.Intermediate.Cert, f.Root.Cert)}), false},
		"by the signer":             {stamp(sigstoretest.Stamp{By: &leaf, Embed: certs(f.signed.Certificate)}), false},
		"naming another":            {stamp(sigstoretest.Stamp{Naming: f.StamperRoot.Cert}), false},
		"over another signature":    {f.material(nil, f.Timestamp([]byte("another"), at, sigstoretest.Stamp{})), false},
		"over the message":          {f.material(nil, f.Timestamp(f.signed.Message, at, sigstoretest.Stamp{})), false},
		"before its certificate":    {f.material(nil, f.stamp(start.Add(-time.Hour))), false},
		"after its certificate":     {f.material(nil, f.stamp(start.AddDate(11, 0, 0))), false},
		"at the zero time":          {f.material(nil, f.stamp(time.Time{})), false},
		"with a byte behind it":     {f.material(nil, append(bytes.Clone(good), 0)), false},
		"cut":                       {f.material(nil, good[:len(good)-1]), false},
		"no timestamp":              {f.material(nil, []byte("0")), false},
		"by its root's other":       {stamp(sigstoretest.Stamp{By: &second, Embed: certs(second.Cert)}), false},
		"saying another signer":     {stamp(sigstoretest.Stamp{Serial: 5}), false},
		"with another certificate":  {stamp(sigstoretest.Stamp{Embed: certs(f.StamperRoot.Cert)}), false},
		"signed twice":              {stamp(sigstoretest.Stamp{Twice: true}), false},
		"with an extension":         {stamp(sigstoretest.Stamp{Exts: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}}}), true},
		"with a critical extension": {stamp(sigstoretest.Stamp{Exts: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}}), false},
	} {
		t.Run(name, func(t *testing.T) {
			if c.ok {
				if v, err := root.Verify(c.m, now); err != nil || !v.Times[0].Equal(at) {
					t.Errorf("%v, %+v", err, v)
				}
				return
			}
			refused(t, root, c.m, "no time of signing")
		})
	}
	// Where the root names no certificate of the authority's own, one below it signs.
	open := f.root(without("tlogs"), func(d map[string]any) {
		chain := in(d, "timestampAuthorities", "certChain")
		list, _ := chain["certificates"].([]any)
		chain["certificates"] = list[1:]
	})
	if _, err := open.Verify(stamp(sigstoretest.Stamp{Embed: certs(f.Stamper.Cert)}), now); err != nil {
		t.Error(err)
	}
	refused(t, open, stamp(sigstoretest.Stamp{}), "no time of signing")
	refused(t, open, stamp(sigstoretest.Stamp{By: &stranger.Stamper, Embed: certs(stranger.Stamper.Cert)}), "no time of signing")
}

// A checkpoint is its log's by name, key and origin; what others sign of it says nothing.
func TestCheckpoints(t *testing.T) {
	f := newFixture(t, github())
	other := sigstoretest.New(t, start)
	stamp := f.stamp(signed)
	for what, c := range map[string]struct {
		v1, v2 func(note string) string
		want   string
	}{
		"cosigned":             {cosign(other.V1), cosign(other.V2), ""},
		"cosigned before":      {cosignFirst(other.V1), cosignFirst(other.V2), ""},
		"under another name":   {func(n string) string { return strings.Replace(n, "— rekor", "— rekor2", 1) }, func(n string) string { return strings.Replace(n, "— log1", "— log2", 1) }, "not signed by"},
		"with another hint":    {flip("— rekor.example "), flip("— log1.example "), "not signed by"},
		"a forged line before": {forgeFirst(f.V1.ID, "rekor.example"), forgeFirst(f.V2.ID, "log1.example"), "not signed by"},
		"of another origin": {
			func(n string) string { return f.V1.Note(strings.Replace(textOf(n), "rekor", "rekor2", 1)) },
			func(n string) string { return f.V2.Note(strings.Replace(textOf(n), "log1", "log2", 1)) }, "not signed by",
		},
		"of the other generation": {
			func(n string) string { return f.V1.Note(strings.Replace(textOf(n), " - 1234", "", 1)) },
			func(n string) string {
				return f.V2.Note(strings.Replace(textOf(n), "log1.example", "log1.example - 1", 1))
			}, "not signed by",
		},
		"of no size":       {func(n string) string { return strings.Replace(n, "\n", "\n0", 1) }, func(n string) string { return strings.Replace(n, "\n", "\n-", 1) }, "no signed note"},
		"with a tab":       {func(n string) string { return strings.Replace(n, " ", "\t", 1) }, func(n string) string { return "\t" + n }, "no signed note"},
		"without its last": {func(n string) string { return strings.TrimSuffix(n, "\n") }, func(n string) string { return strings.TrimSuffix(n, "\n") }, "no signed note"},
	} {
		t.Run(what, func(t *testing.T) {
			for kind, entry := range map[string]map[string]any{"v1": f.entry("dsse", "0.0.1"), "v2": f.entry("hashedrekord", "0.0.2")} {
				note, _ := in(entry, "inclusionProof", "checkpoint")["envelope"].(string)
				change, stamps := c.v1, [][]byte(nil)
				if kind == "v2" {
					change, stamps = c.v2, [][]byte{stamp}
				}
				set(change(note), "inclusionProof", "checkpoint", "envelope")(entry)
				m := f.material(entries{entry}, stamps...)
				if c.want != "" {
					refused(t, f.root(), m, c.want)
				} else if _, err := f.root().Verify(m, now); err != nil {
					t.Errorf("%s: %v", kind, err)
				}
			}
		})
	}
}

// textOf is what a note's signatures are over.
func textOf(note string) string { return note[:strings.LastIndex(note, "\n\n")+1] }

// cosign lets another log sign the note as well, behind or before its own.
func cosign(by *sigstoretest.Log) func(string) string {
	return func(note string) string { return note + strings.TrimPrefix(by.Note(textOf(note)), textOf(note)+"\n") }
}

func cosignFirst(by *sigstoretest.Log) func(string) string {
	return func(note string) string {
		return by.Note(textOf(note)) + strings.TrimPrefix(note, textOf(note)+"\n")
	}
}

func flip(before string) func(string) string {
	return func(note string) string {
		at := strings.LastIndex(note, before) + len(before)
		return note[:at] + "AAAA" + note[at+4:]
	}
}

func forgeFirst(id []byte, name string) func(string) string {
	line := "— " + name + " " + base64.StdEncoding.EncodeToString(append(bytes.Clone(id[:4]), 1, 2, 3)) + "\n"
	return func(note string) string {
		return textOf(note) + "\n" + line + strings.TrimPrefix(note, textOf(note)+"\n")
	}
}

func TestBounds(t *testing.T) {
	f := newFixture(t, github())
	good := f.material(entries{f.entry("dsse", "0.0.1")})
	five := make([]sigstore.Entry, 5)
	for i := range five {
		five[i] = good.Entries[0]
		five[i].Index = int64(i)
	}
	deep := good.Entries[0]
	deep.Proof = &sigstore.Proof{Hashes: make([][]byte, 65)}
	for want, change := range map[string]func(*sigstore.Material){
		"5 log entries":     func(m *sigstore.Material) { m.Entries = five },
		"5 timestamps":      func(m *sigstore.Material) { m.Timestamps = make([][]byte, 5) },
		"timestamp 0 of":    func(m *sigstore.Material) { m.Timestamps = [][]byte{make([]byte, 16<<10+1)} },
		"its proof is":      func(m *sigstore.Material) { m.Entries = []sigstore.Entry{deep} },
		"no certificate":    func(m *sigstore.Material) { m.Certificate = nil },
		"certificate of":    func(m *sigstore.Material) { m.Certificate = make([]byte, 16<<10+1) },
		"cannot be read":    func(m *sigstore.Material) { m.Certificate = []byte("0") },
		"signature of 0":    func(m *sigstore.Material) { m.Signature = nil },
		"signature of 9000": func(m *sigstore.Material) { m.Signature = make([]byte, 9000) },
		"beyond its bounds": func(m *sigstore.Material) {
			m.Entries = []sigstore.Entry{{LogID: f.V1.ID, Index: -1, Promise: []byte("x")}}
		},
		"no JSON object": func(m *sigstore.Material) {
			m.Entries = []sigstore.Entry{{LogID: f.V1.ID, Body: []byte("["), Promise: []byte("x")}}
		},
		"not by its certifi": func(m *sigstore.Material) { m.Signature = []byte("x") },
	} {
		m := good
		change(&m)
		g := *f
		g.signed.Signature = m.Signature
		m.Verifies = g.complete(m).Verifies
		refused(t, f.root(), m, want)
	}
	for what, material := range map[string]map[string]any{
		"five entries":      {"tlogEntries": make([]any, 5)},
		"five timestamps":   {"timestampVerificationData": map[string]any{"rfc3161Timestamps": make([]any, 5)}},
		"entries no list":   {"tlogEntries": "x"},
		"entry no object":   {"tlogEntries": []any{"x"}},
		"no timestamp data": {"timestampVerificationData": "x"},
	} {
		if _, err := sigstore.Bundle(material, sigstore.V03); err == nil || !strings.Contains(err.Error(), "bundle: ") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
