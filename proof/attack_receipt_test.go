package proof

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/network/channel/channeltest"
)

// prepared is a network with a block, whose vendor's MSP may be changed before.
func prepared(t *testing.T, change func(n *network, m *msp.FabricMSPConfig)) *network {
	n := testNetwork(t)
	if change != nil {
		n.configure(blockOptions{}, func(c *common.Config) {
			v := c.GetChannelGroup().GetGroups()["Application"].GetGroups()["VendorMSP"].GetValues()["MSP"]
			var outer msp.MSPConfig
			var m msp.FabricMSPConfig
			n.check(proto.Unmarshal(v.GetValue(), &outer))
			n.check(proto.Unmarshal(outer.GetConfig(), &m))
			change(n, &m)
			outer.Config = n.marshal(&m)
			v.Value = n.marshal(&outer)
		})
	}
	n.block(blockOptions{}, n.envelope([]byte("x")))
	return n
}

// Everybody who may not endorse.
func TestEndorsersThatMayNot(t *testing.T) {
	n, other := prepared(t, nil), testNetwork(t)
	vendor := n.orgs["VendorMSP"]
	three := n.three()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	n.check(err)
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	n.check(err)
	peerNamed := func(c *x509.Certificate) { c.Subject = channeltest.Named("vendor-peer", "peer") }
	for name, c := range map[string]struct {
		last endorser
		why  string // "" for nothing
	}{
		"nobody else":              {endorser{}, "peers of 2 organisations signed: want 3"},
		"a client":                 {endorser{msp: "VendorMSP", pair: vendor.client}, "is a client: want a peer"},
		"an admin":                 {endorser{msp: "VendorMSP", pair: vendor.Admin}, "is a admin: want a peer"},
		"an orderer":               {endorser{msp: "VendorMSP", pair: vendor.OrdererAgent}, "is a orderer: want a peer"},
		"somebody without a role":  {endorser{msp: "VendorMSP", pair: vendor.issue(t, "x")}, "it has no role"},
		"somebody of another unit": {endorser{msp: "VendorMSP", pair: vendor.issue(t, "x", "peers")}, "it has no role"},
		"somebody of two roles":    {endorser{msp: "VendorMSP", pair: vendor.issue(t, "x", "peer", "client")}, "it has two roles"},
		"a second peer":            {endorser{msp: "SecurityMSP", pair: n.orgs["SecurityMSP"].issue(t, "second", "peer")}, "several peers of one organisation"},
		"the same peer":            {three[1], "a second one of the same peer"},
		"under another's name":     {endorser{msp: "VendorMSP", pair: n.orgs["PlatformMSP"].peer}, "certificate signed by unknown authority"},
		"of nobody":                {endorser{msp: "RetailMSP", pair: vendor.peer}, "no member of the channel"},
		"of another network":       {endorser{msp: "VendorMSP", pair: other.orgs["VendorMSP"].peer}, "certificate signed by unknown authority"},
		"the authority itself":     {endorser{msp: "VendorMSP", pair: vendor.Enrolment}, "it is a root itself"},
		"the high s":               {endorser{msp: "VendorMSP", pair: vendor.peer, high: true}, "one form"},
		"over something else":      {endorser{msp: "VendorMSP", pair: vendor.peer, over: []byte("x")}, "the signature is wrong"},
		"expired then": {endorser{msp: "VendorMSP", pair: vendor.Enrolment.Issue(t, peerNamed, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = n.at.Add(-2*time.Hour), n.at.Add(-time.Minute)
		})}, "expired"},
		"not valid yet":  {endorser{msp: "VendorMSP", pair: vendor.Enrolment.Issue(t, peerNamed, func(c *x509.Certificate) { c.NotBefore = n.at.Add(time.Minute) })}, "not yet valid"},
		"a key of P-521": {endorser{msp: "VendorMSP", pair: channeltest.Reissue(t, &vendor.Enrolment, p521, peerNamed)}, "ECDSA on P-256 or P-384"},
		"a key of P-384": {endorser{msp: "VendorMSP", pair: channeltest.Reissue(t, &vendor.Enrolment, p384, peerNamed)}, ""},
		"a renewed peer": {endorser{msp: "VendorMSP", pair: vendor.issue(t, "vendor-peer", "peer")}, ""},
	} {
		q := n.question()
		q.endorsers = append([]endorser{}, three[:2]...)
		if c.last.msp != "" {
			q.endorsers = append(q.endorsers, c.last)
		}
		r := n.verify(n.receipt(q))
		if c.why == "" {
			if r.Result != Valid {
				t.Errorf("%s: %s", name, r.JSON())
			}
			continue
		}
		want := Invalid
		if name == "a key of P-521" {
			want = Unknown
		}
		refused(t, name, r, want, c.why)
	}
	q := n.question()
	q.endorsers = nil
	refused(t, "nobody at all", n.verify(n.receipt(q)), Invalid, "peers of 0 organisations")
	f := n.receipt(n.question())
	for orgs, want := range map[int]Result{1: Valid, 3: Valid, 4: Invalid} {
		if r := Verify(f.Marshal(), Options{Genesis: n.pin(), Orgs: orgs}); r.Result != want {
			t.Errorf("%d organisations: %s", orgs, r.Result)
		}
	}
}

// What an organisation says about its own certificates.
func TestEndorsersThatTheirOrganisationLimits(t *testing.T) {
	t.Run("a revoked peer", func(t *testing.T) {
		n := prepared(t, func(n *network, m *msp.FabricMSPConfig) {
			o := n.orgs["VendorMSP"]
			m.RevocationList = [][]byte{[]byte(channeltest.Authority(n.t, "stranger").Revoke(n.t, o.peer.Cert)), []byte(o.Enrolment.Revoke(n.t, o.peer.Cert))}
		})
		refused(t, "revoked", n.verify(n.receipt(n.question())), Invalid, "is revoked")
		q := n.question()
		q.endorsers[2].pair = n.orgs["VendorMSP"].issue(t, "vendor-peer", "peer")
		if r := n.verify(n.receipt(q)); r.Result != Valid {
			t.Errorf("another certificate: %s", r.JSON())
		}
	})
	t.Run("a list of a stranger revokes nobody", func(t *testing.T) {
		n := prepared(t, func(n *network, m *msp.FabricMSPConfig) {
			o := n.orgs["VendorMSP"]
			stranger := channeltest.Reissue(n.t, nil, channeltest.Authority(n.t, "x").Key, channeltest.AsAuthority("stranger"), func(c *x509.Certificate) { c.SubjectKeyId = o.Enrolment.Cert.SubjectKeyId })
			m.RevocationList = [][]byte{[]byte(stranger.Revoke(n.t, o.peer.Cert))}
		})
		if r := n.verify(n.receipt(n.question())); r.Result != Valid {
			t.Errorf("%s", r.JSON())
		}
	})
	t.Run("intermediates", func(t *testing.T) {
		var below channeltest.Pair
		n := prepared(t, func(n *network, m *msp.FabricMSPConfig) {
			below = n.orgs["VendorMSP"].Enrolment.Below(n.t, "below")
			m.IntermediateCerts = [][]byte{[]byte(below.PEM())}
			m.FabricNodeOus.PeerOuIdentifier.Certificate = []byte(below.PEM())
		})
		refused(t, "issued by a root that has authorities below it", n.verify(n.receipt(n.question())), Invalid, "issues none itself")
		q := n.question()
		q.endorsers[2].pair = below.Issue(t, func(c *x509.Certificate) { c.Subject = channeltest.Named("vendor-peer", "peer") })
		if r := n.verify(n.receipt(q)); r.Result != Valid {
			t.Errorf("%s", r.JSON())
		}
	})
	t.Run("a unit of another issuer", func(t *testing.T) {
		n := prepared(t, func(n *network, m *msp.FabricMSPConfig) {
			one, two := n.orgs["VendorMSP"].Enrolment.Below(n.t, "one"), n.orgs["VendorMSP"].Enrolment.Below(n.t, "two")
			m.IntermediateCerts = [][]byte{[]byte(one.PEM()), []byte(two.PEM())}
			m.FabricNodeOus.PeerOuIdentifier.Certificate = []byte(one.PEM())
			n.orgs["VendorMSP"].peer = two.Issue(n.t, func(c *x509.Certificate) { c.Subject = channeltest.Named("vendor-peer", "peer") })
		})
		refused(t, "unit", n.verify(n.receipt(n.question())), Invalid, "from another issuer")
	})
	t.Run("a role that has no unit", func(t *testing.T) {
		n := prepared(t, func(_ *network, m *msp.FabricMSPConfig) { m.FabricNodeOus.PeerOuIdentifier = nil })
		refused(t, "unit", n.verify(n.receipt(n.question())), Invalid, "it has no role")
	})
}

// Questions and answers that are not what a receipt is of. All are signed by peers of three organisations.
func TestReceiptsOfOtherAnswers(t *testing.T) {
	n := prepared(t, nil)
	answered := func(change func(map[string]any)) func(*call) {
		return func(c *call) {
			var v map[string]any
			n.check(json.Unmarshal(c.response, &v))
			change(v)
			var err error
			c.response, err = json.Marshal(v)
			n.check(err)
		}
	}
	set := func(name string, value any) func(*call) { return answered(func(v map[string]any) { v[name] = value }) }
	arg := func(i int, value string) func(*call) {
		return func(c *call) {
			c.args = append([][]byte{}, c.args...)
			c.args[i] = []byte(value)
		}
	}
	read := func(change func(map[string]uint64)) func(*call) {
		return func(c *call) {
			keys := testReads()
			change(keys)
			c.results = n.results("waybill", keys)
		}
	}
	without := func(k string) func(*call) {
		return read(func(keys map[string]uint64) {
			if _, there := keys[k]; !there {
				t.Fatalf("%q is not among what is read", k)
			}
			delete(keys, k)
		})
	}
	touched := func(change func(*kvrwset.KVRWSet)) func(*call) {
		return func(c *call) {
			ns := c.results.GetNsRwset()[1]
			var s kvrwset.KVRWSet
			n.check(proto.Unmarshal(ns.GetRwset(), &s))
			change(&s)
			ns.Rwset = n.marshal(&s)
		}
	}
	place := question{hash: digestBytes(testDigest), host: testHost, repository: testRepo}.placeKey()
	for name, c := range map[string]struct {
		change func(*call)
		want   Result
		why    string
	}{
		"another function":        {arg(0, "verdict:Explain"), Invalid, "the call is not verdict:Ask"},
		"an argument less":        {func(c *call) { c.args = c.args[:4] }, Invalid, "the call is not verdict:Ask"},
		"no digest":               {arg(3, "sha256"), Invalid, "is no digest"},
		"half a digest":           {arg(3, "sha256:0"), Invalid, "is no digest"},
		"another host asked":      {arg(1, "other.example"), Invalid, "the peers answered about"},
		"another repository":      {arg(2, "team/other"), Invalid, "the peers answered about"},
		"another digest asked":    {arg(3, "sha256:"+strings.Repeat("ab", 32)), Invalid, "the peers answered about"},
		"another stage asked":     {arg(4, "staging"), Invalid, "the peers answered about"},
		"another image answered":  {set("image", "x"), Invalid, "the peers answered about"},
		"another digest answered": {set("digest", "x"), Invalid, "the peers answered about"},
		"another stage answered":  {set("stage", "x"), Invalid, "the peers answered about"},
		"another chaincode":       {func(c *call) { c.chaincode = "another" }, Invalid, `chaincode "another"`},
		"a status of 500":         {func(c *call) { c.status = 500 }, Invalid, "status 500"},
		"a verdict that is none":  {set("verdict", "perhaps"), Unknown, "perhaps"},
		"a member more":           {set("exception", "x"), Unknown, "another form"},
		"no JSON":                 {func(c *call) { c.response = []byte("allowed") }, Unknown, "another form"},
		"two answers":             {func(c *call) { c.response = append(c.response, '1') }, Invalid, "goes on behind its end"},
		"another proposal":        {func(c *call) { c.hash = bytes.Repeat([]byte{1}, 32) }, Invalid, "another proposal"},
		"another creator asked":   {func(c *call) { c.signature = []byte("x") }, Invalid, "another creator"},
		"a creator of nobody":     {func(c *call) { c.creator = identityOf("RetailMSP", n.orgs["PlatformMSP"].client) }, Invalid, "who asked"},
		"a creator that is none":  {func(c *call) { c.creator = []byte("x") }, Invalid, "who asked"},
		"another channel":         {func(c *call) { c.header = func(h *common.ChannelHeader) { h.ChannelId = "another" } }, Invalid, `of channel "another"`},
		"another id":              {func(c *call) { c.header = func(h *common.ChannelHeader) { h.TxId = strings.Repeat("ab", 32) } }, Invalid, "has not the id"},
		"another type":            {func(c *call) { c.header = func(h *common.ChannelHeader) { h.Type = 1 } }, Invalid, "calls no chaincode"},
		"another version":         {func(c *call) { c.header = func(h *common.ChannelHeader) { h.Version = 1 } }, Unknown, "version 1"},
		"another epoch":           {func(c *call) { c.header = func(h *common.ChannelHeader) { h.Epoch = 1 } }, Unknown, "epoch 1"},
		"a time that is none":     {func(c *call) { c.header = func(h *common.ChannelHeader) { h.Timestamp.Nanos = 1e9 } }, Invalid, "a time that is none"},
		"a time before 1970":      {func(c *call) { c.header = func(h *common.ChannelHeader) { h.Timestamp.Seconds = -1 } }, Invalid, "a time that is none"},
		"a time to come":          {func(c *call) { c.at = n.at.Add(16 * time.Minute) }, Invalid, "still to come"},
		"a header of another chaincode": {func(c *call) {
			c.header = func(h *common.ChannelHeader) {
				h.Extension = n.marshal(&peer.ChaincodeHeaderExtension{ChaincodeId: &peer.ChaincodeID{Name: "another"}})
			}
		}, Invalid, "and its header of"},
		"an answer of another chaincode": {func(c *call) { c.action = func(a *peer.ChaincodeAction) { a.ChaincodeId.Name = "another" } }, Invalid, `"another" answered`},
		"two actions": {func(c *call) {
			c.tx = func(tx *peer.Transaction) { tx.Actions = append(tx.Actions, tx.GetActions()[0]) }
		}, Invalid, "2 actions"},
		"no action":         {func(c *call) { c.tx = func(tx *peer.Transaction) { tx.Actions = nil } }, Invalid, "0 actions"},
		"a model of data":   {func(c *call) { c.results.DataModel = 1 }, Unknown, "data model 1"},
		"a write":           {touched(func(s *kvrwset.KVRWSet) { s.Writes = []*kvrwset.KVWrite{{Key: "k", Value: []byte("v")}} }), Invalid, "wrote into"},
		"a range":           {touched(func(s *kvrwset.KVRWSet) { s.RangeQueriesInfo = []*kvrwset.RangeQueryInfo{{StartKey: "k"}} }), Invalid, "read more than keys"},
		"a policy of a key": {touched(func(s *kvrwset.KVRWSet) { s.MetadataWrites = []*kvrwset.KVMetadataWrite{{Key: "k"}} }), Invalid, "read more than keys"},
		"private data": {func(c *call) {
			c.results.GetNsRwset()[1].CollectionHashedRwset = []*rwset.CollectionHashedReadWriteSet{{CollectionName: "c"}}
		}, Invalid, "read more than keys"},
		"a third chaincode": {func(c *call) {
			c.results.NsRwset = append(c.results.NsRwset, &rwset.NsReadWriteSet{Namespace: "third"})
		}, Invalid, `chaincode "third"`},
		"results twice":     {func(c *call) { c.results.NsRwset = append(c.results.NsRwset, c.results.GetNsRwset()[1]) }, Invalid, "are there twice"},
		"no members read":   {without(key("members")), Invalid, "does not rest on /members/"},
		"no policies read":  {without(key("policies")), Invalid, "does not rest on /policies/"},
		"no clock read":     {without(key("clock")), Invalid, "does not rest on /clock/"},
		"no labels read":    {without(key("labels", testHost, testRepo)), Invalid, "does not rest on /labels/"},
		"no place read":     {without(place), Invalid, "does not rest on /place/"},
		"no promotion read": {without(key("promotion", "production", testHost, testRepo, testDigest)), Invalid, "does not rest on /promotion/"},
		"no release read":   {without(key("released", "production", testHost, testRepo, testDigest)), Invalid, "does not rest on /released/"},
		"no evidence read":  {without(key("evset", testDigest, "AuditMSP")), Invalid, "does not rest on /evset/"},
		"no witness read":   {without(key("witness", testDigest, testHost, testRepo, "AuditMSP")), Invalid, "does not rest on /witness/"},
		"no waivers read":   {without(key("waivers", testHost, testRepo, "AuditMSP")), Invalid, "does not rest on /waivers/"},
		"no hold of one":    {without(key("hold", testDigest, "AuditMSP")), Invalid, "of others than the members"},
		"no hold at all": {read(func(keys map[string]uint64) {
			for _, m := range []string{"AuditMSP", "SecurityMSP", "VendorMSP"} {
				delete(keys, key("hold", testDigest, m))
			}
		}), Invalid, "before there was a consortium"},
		"members that are not there":        {read(func(keys map[string]uint64) { keys[key("members")] = 0 }), Invalid, "before there was a consortium"},
		"a place that may be in a page":     {read(func(keys map[string]uint64) { keys[place] = 0 }), Invalid, "does not rest on /directory/"},
		"a child whose holds were not read": {set("children", []map[string]string{{"digest": "sha256:" + strings.Repeat("cd", 32), "verdict": "allowed"}}), Invalid, "does not rest on /hold/"},
	} {
		q := n.question()
		c.change(&q)
		refused(t, name, n.verify(n.receipt(q)), c.want, c.why)
	}
}

func digestBytes(d string) []byte {
	q, _ := parseQuestion(&invocation{args: [][]byte{[]byte(ask), {}, {}, []byte(d), {}}})
	return q.hash
}

// What is absent from a page, and of an index.
func TestReceiptsOfWhatIsInPages(t *testing.T) {
	n := prepared(t, nil)
	child := "sha256:" + strings.Repeat("cd", 32)
	q := n.question()
	keys := testReads()
	keys[question{hash: digestBytes(testDigest), host: testHost, repository: testRepo}.placeKey()] = 0
	keys[key("directory", testHost, testRepo, "")] = 9
	for _, m := range []string{"AuditMSP", "SecurityMSP", "VendorMSP"} {
		keys[key("hold", child, m)] = 0
	}
	q.results = n.results("waybill", keys)
	var v map[string]any
	n.check(json.Unmarshal(q.response, &v))
	v["children"] = []map[string]string{{"digest": child, "verdict": "allowed"}}
	q.response, _ = json.Marshal(v)
	r := n.verify(n.receipt(q))
	if r.Result != Valid || r.Verdict.Block != 9 || len(r.Verdict.Children) != 1 {
		t.Errorf("%s", r.JSON())
	}
}

func TestAgeAndWhatWasAskedFor(t *testing.T) {
	n := prepared(t, nil)
	f := n.receipt(n.question()).Marshal()
	for name, c := range map[string]struct {
		Options
		want Result
		exit int
	}{
		"fresh":            {Options{At: n.at.Add(time.Hour), MaxAge: time.Hour}, Valid, 0},
		"too old":          {Options{At: n.at.Add(time.Hour + 1), MaxAge: time.Hour}, Stale, 14},
		"the image":        {Options{Image: testHost + "/" + testRepo + "@" + testDigest, Stage: "production"}, Valid, 0},
		"the repository":   {Options{Image: testHost + "/" + testRepo}, Valid, 0},
		"another image":    {Options{Image: testHost + "/" + testRepo + "@sha256:ab"}, Invalid, 15},
		"another stage":    {Options{Stage: "staging"}, Invalid, 15},
		"another contract": {Options{Chaincode: "another"}, Invalid, 15},
	} {
		c.Genesis = n.pin()
		if r := Verify(f, c.Options); r.Result != c.want || r.Exit() != c.exit {
			t.Errorf("%s: %s, exit %d", name, r.Result, r.Exit())
		}
	}
}
