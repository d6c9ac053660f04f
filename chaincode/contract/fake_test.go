package contract

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/queryresult"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// ledger is a committed state and the chaincode over it. Like a peer it hides
// a transaction's own writes, refuses a scan after a write, and drops the
// writes of a transaction that fails.
type ledger struct {
	event string // of the last transaction
	t     testing.TB
	cc    *Chaincode
	state map[string][]byte
	guard map[string][]byte // key-level endorsement policies
	// private holds what organisations keep, by collection and key. peer is the
	// organisation whose peer runs the transaction; it alone has the values of
	// its collection. Empty: the caller's.
	private map[[2]string][]byte
	peer    string
	now     time.Time
	txs     int
	stopped bool     // the clock stands still: no gateway ticks
	asked   []string // the keys that transactions read, since it was emptied
	trips   int      // calls that read them
	certs   map[string][]byte
	channel string
	before  *ledger       // the channel that this one goes on from
	answers []givenAnswer // the last to verdict:Ask
}

func newLedger(t testing.TB) *ledger {
	t.Helper()
	cc, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return &ledger{t: t, cc: cc, state: map[string][]byte{}, guard: map[string][]byte{}, private: map[[2]string][]byte{}, now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC), certs: map[string][]byte{}}
}

// stub embeds the interface so that a call to anything the contract has no
// business calling panics the test.
type stub struct {
	shim.ChaincodeStubInterface
	l         *ledger
	args      []string
	creator   []byte
	transient map[string][]byte
	writes    map[string][]byte // nil value: deleted
	guards    map[string][]byte
	kept      map[[2]string][]byte // private writes; nil value: purged
	batch     bool
	txID      string
}

func (s *stub) GetFunctionAndParameters() (string, []string) { return s.args[0], s.args[1:] }
func (s *stub) GetStringArgs() []string                      { return s.args }
func (s *stub) GetCreator() ([]byte, error)                  { return s.creator, nil }
func (s *stub) GetTxID() string                              { return s.txID }
func (s *stub) GetTransient() (map[string][]byte, error)     { return s.transient, nil }
func (s *stub) GetTxTimestamp() (*timestamppb.Timestamp, error) {
	return timestamppb.New(s.l.now), nil
}
func (s *stub) GetChannelID() string    { return s.l.channel }
func (s *stub) StartWriteBatch()        { s.batch = true }
func (s *stub) FinishWriteBatch() error { s.batch = false; return nil }
func (s *stub) PutState(key string, value []byte) error {
	if key == "" || len(value) == 0 {
		return fmt.Errorf("empty key or value")
	}
	s.writes[key] = value
	return nil
}
func (s *stub) SetEvent(name string, payload []byte) error {
	s.l.event = name + " " + string(payload)
	return nil
}
func (s *stub) DelState(key string) error {
	s.writes[key] = nil
	return nil
}
func (s *stub) SetStateValidationParameter(key string, policy []byte) error {
	// Bytes that a peer cannot read stop the channel; a policy of nobody lets anybody write.
	var envelope common.SignaturePolicyEnvelope
	if err := proto.Unmarshal(policy, &envelope); err != nil || len(envelope.GetIdentities()) == 0 || envelope.GetRule().GetNOutOf().GetN() < 1 {
		s.l.t.Errorf("guard of %q: %v, %v", key, &envelope, err)
	}
	s.guards[key] = policy
	return nil
}
func (s *stub) GetPrivateDataHash(collection, key string) ([]byte, error) {
	b, ok := s.l.private[[2]string{collection, key}]
	if !ok {
		return nil, nil
	}
	sum := sha256.Sum256(b)
	return sum[:], nil
}
func (s *stub) GetPrivateData(collection, key string) ([]byte, error) {
	if collection != "_implicit_org_"+s.l.peer {
		return nil, fmt.Errorf("private data of %s on a peer of %s", collection, s.l.peer)
	}
	return s.l.private[[2]string{collection, key}], nil
}
func (s *stub) PutPrivateData(collection, key string, value []byte) error {
	s.kept[[2]string{collection, key}] = value
	return nil
}
func (s *stub) PurgePrivateData(collection, key string) error {
	s.kept[[2]string{collection, key}] = nil
	return nil
}
func (s *stub) GetStateValidationParameter(key string) ([]byte, error) { return s.l.guard[key], nil }
func (s *stub) GetMultipleStates(keys ...string) ([][]byte, error) {
	s.l.asked, s.l.trips = append(s.l.asked, keys...), s.l.trips+1
	values := make([][]byte, len(keys))
	for i, k := range keys {
		values[i] = s.l.state[k]
	}
	return values, nil
}
func (s *stub) GetStateByPartialCompositeKeyWithPagination(objectType string, attributes []string, size int32, bookmark string) (shim.StateQueryIteratorInterface, *peer.QueryResponseMetadata, error) {
	if len(s.writes) > 0 {
		return nil, nil, fmt.Errorf("a paginated query in a transaction that writes")
	}
	it := &iterator{}
	for _, k := range slices.Sorted(maps.Keys(s.l.state)) {
		if !strings.HasPrefix(k, state.Key(objectType, attributes...)) || k < bookmark {
			continue
		}
		if len(it.rows) == int(size) {
			return it, &peer.QueryResponseMetadata{FetchedRecordsCount: size, Bookmark: k}, nil
		}
		it.rows = append(it.rows, &queryresult.KV{Key: k, Value: s.l.state[k]})
	}
	return it, &peer.QueryResponseMetadata{FetchedRecordsCount: int32(len(it.rows))}, nil
}

type iterator struct{ rows []*queryresult.KV }

func (it *iterator) HasNext() bool { return len(it.rows) > 0 }
func (it *iterator) Close() error  { return nil }
func (it *iterator) Next() (*queryresult.KV, error) {
	kv := it.rows[0]
	it.rows = it.rows[1:]
	return kv, nil
}

// creator returns a serialised identity "name@MSP"; the name "admin" carries the admin Node OU.
func (l *ledger) creator(who string) []byte {
	l.t.Helper()
	if b, ok := l.certs[who]; ok {
		return b
	}
	name, mspID, _ := strings.Cut(who, "@")
	ou := "client"
	if name == "admin" {
		ou = "admin"
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		l.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, OrganizationalUnit: []string{ou}}, NotAfter: l.now.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		l.t.Fatal(err)
	}
	b, err := proto.Marshal(&msp.SerializedIdentity{Mspid: mspID, IdBytes: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})})
	if err != nil {
		l.t.Fatal(err)
	}
	l.certs[who] = b
	return b
}

// invoke runs a transaction and commits its writes when it succeeds.
func (l *ledger) invoke(who string, transient map[string][]byte, args ...string) (string, map[string][]byte, error) {
	l.t.Helper()
	l.txs++
	l.now = l.now.Add(time.Second)
	if !l.stopped && args[0] != "clock:Tick" {
		l.tick()
	}
	l.event = ""
	s := &stub{l: l, args: args, creator: l.creator(who), transient: transient, writes: map[string][]byte{}, guards: map[string][]byte{}, kept: map[[2]string][]byte{}, txID: fmt.Sprintf("%064x", l.txs)}
	response := l.cc.Invoke(s)
	if response.GetStatus() != shim.OK {
		if parsed, ok := provenance.ParseError(response.GetMessage()); ok {
			return "", nil, parsed
		}
		return "", nil, fmt.Errorf("uncoded: %s", response.GetMessage())
	}
	if s.batch {
		l.t.Errorf("%s left its write batch open", args[0])
	}
	l.commit(s)
	if args[0] == "verdict:Ask" {
		l.given(who, args)
	} else if len(s.writes) > 0 {
		l.hold(args[0])
	}
	return string(response.GetPayload()), s.writes, nil
}

// tick moves the clock as a gateway does, every minute that something happens in.
func (l *ledger) tick() {
	var c state.Clock
	if b := l.state[state.ClockKey()]; b != nil {
		if err := state.Decode(b, &c); err != nil {
			l.t.Fatal(err)
		}
	}
	if now := l.now.Truncate(time.Minute); now.After(c.At) {
		l.state[state.ClockKey()], _ = state.Encode(state.Clock{At: now, Seq: c.Seq + 1})
	}
}

func (l *ledger) commit(s *stub) {
	for k, v := range s.kept {
		if l.private[k] = v; v == nil {
			delete(l.private, k)
		}
	}
	for k, v := range s.writes {
		if v == nil {
			delete(l.state, k)
			delete(l.guard, k)
			continue
		}
		l.state[k] = v
	}
	for k, v := range s.guards {
		if _, ok := l.state[k]; ok { // a peer drops the policy of a key that is not there
			l.guard[k] = v
		}
	}
}

func (l *ledger) do(who string, args ...string) string {
	l.t.Helper()
	out, _, err := l.invoke(who, nil, args...)
	if err != nil {
		l.t.Fatalf("%s %v: %v", who, args, err)
	}
	return out
}

func (l *ledger) refused(code provenance.Code, who string, args ...string) {
	l.t.Helper()
	_, _, err := l.invoke(who, nil, args...)
	if err == nil || provenance.CodeOf(err) != code {
		l.t.Errorf("%s %v: got %v, want %s", who, args, err, code)
	}
}

func (l *ledger) verdict(who string, args ...string) policy.Verdict {
	l.t.Helper()
	var v policy.Verdict
	if err := json.Unmarshal([]byte(l.do(who, args...)), &v); err != nil {
		l.t.Fatal(err)
	}
	return v
}

func (l *ledger) segment(who string, host string, seq int, events ...provenance.Event) (string, map[string][]byte, error) {
	l.t.Helper()
	return l.segmentWith(who, host, seq, manifestsOf(events), events...)
}

// segmentWith records events with the manifests that are given.
func (l *ledger) segmentWith(who string, host string, seq int, manifests []byte, events ...provenance.Event) (string, map[string][]byte, error) {
	l.t.Helper()
	b, err := provenance.EncodeSegment(events)
	if err != nil {
		l.t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return l.invoke(who, map[string][]byte{"segment": b, "manifests": manifests}, "record:Segment", host, "lane-0", strconv.Itoa(seq), hex.EncodeToString(sum[:]))
}

const (
	host = "reg.example:5000"
	repo = "team/app"
)

func orgs() []string { return []string{"AuditMSP", "PlatformMSP", "SecurityMSP", "VendorMSP"} }

// network returns a ledger of four members with granted people, the vendor's
// registry and a policy of two stages.
func network(t testing.TB) *ledger {
	t.Helper()
	l := newLedger(t)
	l.do("admin@VendorMSP", "member:Found", `["VendorMSP","SecurityMSP","PlatformMSP","AuditMSP"]`)
	for _, o := range orgs() {
		l.do("admin@"+o, "member:Join", o)
		for _, r := range state.Roles() {
			if r != state.RoleAdmin {
				l.do("admin@"+o, "member:Grant", string(r), string(r))
			}
		}
	}
	for _, o := range orgs()[:3] {
		l.do("admin@"+o, "proposal:Open", "registry", registryBody(host, "", "VendorMSP"))
	}
	text := `{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"default"},"spec":{"match":["reg.example:5000/team/**"],
	 "stages":[{"name":"staging","approvals":{"min":1}},{"name":"production","from":"staging","approvals":{"min":2,"orgs":["SecurityMSP"]}}]}}`
	for _, o := range orgs()[:3] {
		l.do("admin@"+o, "proposal:Open", "policy", text)
	}
	return l
}

// attempt is the one that a promotion is at.
func (l *ledger) attempt(content, stage string) string {
	var p state.Promotion
	if b := l.state[subject(content, stage).PromotionKey()]; b != nil {
		if err := state.Decode(b, &p); err != nil {
			l.t.Fatal(err)
		}
	}
	return strconv.Itoa(p.Attempt)
}

// releaseHash is that of the release of an image, as a reviewer computes it.
func (l *ledger) releaseHash(content, stage string) string {
	var rel state.Release
	if b := l.state[subject(content, stage).ReleasedKey()]; b != nil {
		if err := state.Decode(b, &rel); err != nil {
			l.t.Fatal(err)
		}
	}
	return rel.Hash()
}

func registryBody(host, namespace, owner string) string {
	return fmt.Sprintf(`{"host":%q,"namespace":%q,"owner":%q,"kind":"distribution"}`, host, namespace, owner)
}
