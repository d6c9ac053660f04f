package contract

import (
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// about is a piece about the image with that content.
func piece(content, format, org, key string, envelope []byte) evidence.Piece {
	return evidence.Piece{Host: host, Repository: repo, Digest: digestOf(content).String(), Format: format, MSP: org, Key: key, Envelope: envelope}
}

// batch submits pieces together.
func (l *ledger) batch(who string, pieces ...evidence.Piece) ([]evidence.Outcome, map[string][]byte, error) {
	l.t.Helper()
	b, err := evidence.EncodeBatch(pieces)
	if err != nil {
		l.t.Fatal(err)
	}
	out, writes, err := l.invoke(who, map[string][]byte{"pieces": b}, "evidence:SubmitBatch")
	if err != nil {
		return nil, writes, err
	}
	var outcomes []evidence.Outcome
	if err := json.Unmarshal([]byte(out), &outcomes); err != nil || len(outcomes) != len(pieces) {
		l.t.Fatalf("%d pieces: %s, %v", len(pieces), out, err)
	}
	return outcomes, writes, nil
}

// alone submits a piece by itself.
func (l *ledger) alone(who string, p evidence.Piece) (Submitted, error) {
	l.t.Helper()
	transient := map[string][]byte{"envelope": p.Envelope}
	if p.Private {
		transient["private"] = []byte("true")
	}
	out, _, err := l.invoke(who, transient, "evidence:Submit", p.Host, p.Repository, p.Digest, p.Type, p.Format, p.MSP, p.Key, p.Location)
	var s Submitted
	if err == nil {
		err = json.Unmarshal([]byte(out), &s)
	}
	return s, err
}

// twin is another ledger in the same state.
func (l *ledger) twin() *ledger {
	other := newLedger(l.t)
	other.certs, other.now, other.txs = l.certs, l.now, l.txs
	for k, v := range l.state {
		other.state[k] = slices.Clone(v)
	}
	maps.Copy(other.guard, l.guard)
	return other
}

// packed records pushes of images among so many that they stand in a page.
func (l *ledger) packed(contents ...string) {
	l.t.Helper()
	var events []provenance.Event
	for _, c := range contents {
		events = append(events, push("", c))
	}
	for i := range 64 {
		events = append(events, push("", fmt.Sprint("beside-", i)))
	}
	if _, _, err := l.segment("gateway@VendorMSP", host, 1, events...); err != nil {
		l.t.Fatal(err)
	}
	for _, c := range contents {
		if l.state[state.PlaceKey(digestOf(c), host, repo)] != nil {
			l.t.Fatalf("%s has a key of its own", c)
		}
	}
}

// pieces makes pieces of all kinds, good and bad, some of them more than once.
type pieces struct {
	*rand.Rand
	t   *testing.T
	key *ecdsa.PrivateKey
	all []evidence.Piece
}

func (m *pieces) one() evidence.Piece {
	if len(m.all) > 0 && m.IntN(4) == 0 {
		return m.all[m.IntN(len(m.all))]
	}
	content := fmt.Sprint("image-", m.IntN(5))
	made := ""
	if m.IntN(2) == 0 {
		made = fmt.Sprintf("2026-01-%02dT00:00:00Z", 1+m.IntN(28))
	}
	facts := stated(content, "vuln-scan", scanned(m.IntN(9)), made)
	p := piece(content, "dsse", "SecurityMSP", "scan", nil)
	switch m.IntN(12) {
	case 0:
		facts = stated("another", "vuln-scan", scanned(0), "")
	case 1:
		p.Key = "nobody"
	case 2:
		p.Digest = digestOf("never pushed").String()
	case 3:
		p.Location = "nowhere"
	case 4:
		p.Private = true
	case 5:
		p.Format, p.MSP, p.Key, p.Envelope = "plain", "", "", facts
	case 6:
		p.Type = "sbom"
	case 7:
		p.Repository = "UPPER"
	case 8:
		facts = stated(content, "test-result", tested("PASSED"), made)
	case 9:
		p.Type, p.Location = "vuln-scan", host+"/"+repo+"@"+digestOf(content).String()
	case 10:
		p.Host += "\x00"
	}
	if p.Format == "dsse" {
		p.Envelope = signed(m.t, facts, m.key)
		if m.IntN(9) == 0 {
			p.Envelope = p.Envelope[:len(p.Envelope)-1]
		}
	}
	return p
}

// A batch is its pieces, one after the other: the same outcomes and the same records,
// whoever submits them. Only the times of the transactions are made equal here.
func TestBatchIsItsPieces(t *testing.T) {
	l := network(t)
	l.packed("image-0", "image-1", "image-2", "image-3", "image-4")
	m := &pieces{Rand: rand.New(rand.NewPCG(7, 2026)), t: t, key: l.key("SecurityMSP", "scan", "")}
	l.tick()
	l.stopped = true
	refused, recorded, known := 0, 0, 0
	for _, who := range []string{"gateway@VendorMSP", "scanner@SecurityMSP", "gateway@SecurityMSP", "gateway@PlatformMSP", "auditor@AuditMSP", "gateway@VendorMSP"} {
		var all []evidence.Piece
		for range 40 {
			p := m.one()
			m.all, all = append(m.all, p), append(all, p)
		}
		singly := l.twin()
		singly.stopped = true
		outcomes, writes, err := l.batch(who, all...)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range all {
			singly.now = l.now.Add(-1e9)
			s, err := singly.alone(who, p)
			o := outcomes[i]
			if strings.ContainsRune(p.Host, 0) {
				err = provenance.Errorf(provenance.Invalid, "a NUL is refused before, of arguments")
			}
			switch {
			case err == nil && (o.Err() != nil || s != Submitted{ID: o.ID, Type: o.Type, Known: o.Known, Counts: o.Counts}):
				t.Errorf("%s, piece %d: %+v, alone %+v", who, i, o, s)
			case err != nil && (provenance.CodeOf(err) != o.Code || o.Message == "" || o.ID != ""):
				t.Errorf("%s, piece %d: %+v, alone %v", who, i, o, err)
			case err != nil:
				refused++
			case o.Known:
				known++
			default:
				recorded++
			}
		}
		if diff := cmp.Diff(singly.state, l.state); diff != "" {
			t.Fatalf("%s: the ledger after the pieces, and after the batch:\n%s", who, diff)
		}
		if recorded > 0 && len(writes) == 0 {
			t.Error("nothing was written")
		}
	}
	if refused < 50 || recorded < 30 || known < 10 {
		t.Errorf("%d refused, %d recorded, %d known: not all was tried", refused, recorded, known)
	}
}

// Pieces about one image share its set, and its place, which are written once. What is
// refused leaves no key, and no key is asked for twice.
func TestBatchWrites(t *testing.T) {
	l := network(t)
	l.packed("v1", "v2")
	key := l.key("SecurityMSP", "scan", "")
	kinds := func(writes map[string][]byte) map[string]int {
		n := map[string]int{}
		for k := range writes {
			kind, _, _ := state.SplitKey(k)
			n[kind]++
		}
		return n
	}
	scan := func(content string) evidence.Piece {
		return piece(content, "dsse", "SecurityMSP", "scan", signed(t, stated(content, "vuln-scan", scanned(0), ""), key))
	}
	test := piece("v1", "dsse", "SecurityMSP", "scan", signed(t, stated("v1", "test-result", tested("PASSED"), ""), key))
	bad := scan("v2")
	bad.Envelope = scan("v1").Envelope
	l.asked = nil
	outcomes, writes, err := l.batch("gateway@VendorMSP", scan("v1"), test, bad, bad)
	if err != nil || outcomes[0].Err() != nil || outcomes[1].Err() != nil || outcomes[2].Code != provenance.BadEvidence || outcomes[3] != outcomes[2] {
		t.Fatalf("%+v, %v", outcomes, err)
	}
	want := map[string]int{state.TypeEvidence: 2, state.TypeFirstPiece: 2, state.TypeEvSet: 1, state.TypePlace: 1}
	if got := kinds(writes); !maps.Equal(got, want) || writes[state.PlaceKey(digestOf("v2"), host, repo)] != nil {
		t.Errorf("written: %v, want %v", got, want)
	}
	asked := map[string]int{}
	for _, k := range l.asked {
		asked[k]++
	}
	for k, n := range asked {
		if n > 2 { // once before the transaction began, for the rights of who calls
			t.Errorf("%q was read %d times", k, n)
		}
	}
	// Nothing new, and nothing good, are success without a write.
	for _, pieces := range [][]evidence.Piece{{bad, bad}, {test, bad, test}} {
		if outcomes, writes, err := l.batch("gateway@VendorMSP", pieces...); err != nil || len(writes) != 0 || len(outcomes) != len(pieces) {
			t.Errorf("%+v, %d writes, %v", outcomes, len(writes), err)
		}
	}
}

// What no room is left for is refused by itself, and what came before it in the batch
// counts for the room.
func TestBatchRoom(t *testing.T) {
	l := network(t)
	l.pushed("v1")
	var all []evidence.Piece
	for i := range state.MaxUnruled + 2 {
		name := fmt.Sprint("key-", i)
		all = append(all, piece("v1", "dsse", "AuditMSP", name, signed(t, stated("v1", "vuln-scan", scanned(i), ""), l.key("AuditMSP", name, ""))))
	}
	outcomes, _, err := l.batch("gateway@VendorMSP", all...)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range outcomes {
		if full := i >= state.MaxUnruled; full != (o.Code == provenance.Full) || !full && !o.Counts {
			t.Errorf("piece %d: %+v", i, o)
		}
	}
	if n := len(l.evidenceOf("v1")); n != state.MaxUnruled {
		t.Errorf("%d pieces are on the ledger", n)
	}
}

// A batch beyond its bounds, or cut off, is refused as a whole.
func TestBatchBounds(t *testing.T) {
	l := network(t)
	one, err := evidence.EncodeBatch([]evidence.Piece{piece("v1", "plain", "", "", []byte("{}"))})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"none": nil, "cut off": one[:len(one)-1], "more behind": append(slices.Clone(one), 1), "too many": []byte(strings.Repeat(string(one), evidence.MaxBatch+1)),
		"too large": make([]byte, evidence.MaxBatchBytes+1), "no text": {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, "a long length": append([]byte{0x80, 0x00}, one...),
	} {
		if _, writes, err := l.invoke("gateway@VendorMSP", map[string][]byte{"pieces": b}, "evidence:SubmitBatch"); provenance.CodeOf(err) != provenance.Invalid || len(writes) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	// As many as there may be, all bad, write nothing and say little.
	many := strings.Repeat(string(one), evidence.MaxBatch)
	out, writes, err := l.invoke("gateway@VendorMSP", map[string][]byte{"pieces": []byte(many)}, "evidence:SubmitBatch")
	if err != nil || len(writes) != 0 || len(out) > evidence.MaxBatch*(maxRefusal+100) {
		t.Errorf("%d bytes answered, %d writes, %v", len(out), len(writes), err)
	}
}

// A large batch waits for the turn of its caller's organisation, and gives it up
// whatever becomes of its pieces.
func TestBatchTakesTurns(t *testing.T) {
	l := network(t)
	l.pushed("v1")
	key := l.key("SecurityMSP", "sbom", "")
	good := piece("v1", "dsse", "SecurityMSP", "sbom", signed(t, bill("v1", 300), key))
	bad := good
	bad.Envelope = bad.Envelope[1:]
	for range 3 {
		if outcomes, _, err := l.batch("gateway@VendorMSP", bad, good, bad); err != nil || outcomes[1].Err() != nil || outcomes[0].Err() == nil {
			t.Fatalf("%+v, %v", outcomes, err)
		}
	}
}

// batch is a random batch of pieces.
func (p *peers) batch() (string, map[string][]byte, []string) {
	m := &pieces{Rand: p.rng, t: p.t, key: p.key}
	for range 1 + p.rng.IntN(6) {
		m.all = append(m.all, m.one())
	}
	b, err := evidence.EncodeBatch(m.all)
	if err != nil {
		p.t.Fatal(err)
	}
	return pick(p, "gateway@", "scanner@") + p.org(), map[string][]byte{"pieces": b}, []string{"evidence:SubmitBatch"}
}
