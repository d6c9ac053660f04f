// Package doctor examines an organisation's host and what it sees of the channel, and names what to do. It changes
// nothing, and asks others only what any member may ask.
package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/network/cert"
	"github.com/waybill-dev/waybill/network/channel"
	"github.com/waybill-dev/waybill/network/org"
)

// Level is how bad a finding is.
type Level string

// The levels. A warning works today; what fails does not.
const (
	Fine    Level = "ok"
	Warning Level = "warning"
	Failure Level = "failure"
)

// Finding is one thing that was looked at.
type Finding struct {
	Check string `json:"check"` // clock, disk, node, endpoint, certificate, quorum, chaincode, height, index, host
	Of    string `json:"of"`    // whom or what it is about
	Level Level  `json:"level"`
	Says  string `json:"says"`
	Todo  string `json:"todo,omitempty"`
}

// Gateway is what the organisation's gateway says of itself.
type Gateway struct {
	Version            string
	Height, PeerHeight uint64
	Stale              bool
	Waiting            string
	Dead               int64
}

// Options say what is examined.
type Options struct {
	Version string // of this program
	// Gateway asks the organisation's gateway; nil: it is left out.
	Gateway func(context.Context) (Gateway, error)
	Now     func() time.Time
	// AsAdmin says that the admin's key can be opened without asking anybody: what only admins are told is asked then.
	AsAdmin bool
}

// patience bounds each question to one node.
const patience = 5 * time.Second

// examination is one run.
type examination struct {
	folder   *org.Folder
	o        Options
	config   *common.Config
	channel  cert.Channel
	findings []Finding
}

// Run examines. What cannot be asked is a finding, not an error.
func Run(ctx context.Context, f *org.Folder, o Options) []Finding {
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &examination{folder: f, o: o}
	e.host()
	e.disk()
	nodes := e.nodes(ctx)
	if err := e.configuration(ctx); err != nil {
		e.add("channel", f.Spec().Channel, Failure, "its configuration cannot be asked for: "+err.Error(), "start what is stopped: waybill org up")
	}
	e.certificates()
	e.endpoints(ctx, nodes)
	e.chaincode(ctx)
	e.gateway(ctx)
	return e.findings
}

// Worst returns the worst level.
func Worst(findings []Finding) Level {
	worst := Fine
	for _, f := range findings {
		if f.Level == Failure || f.Level == Warning && worst == Fine {
			worst = f.Level
		}
	}
	return worst
}

func (e *examination) add(check, of string, level Level, says, todo string) {
	e.findings = append(e.findings, Finding{check, of, level, says, todo})
}

// nodes looks at the organisation's own, and returns their status.
func (e *examination) nodes(ctx context.Context) []org.NodeStatus {
	report, err := e.folder.Status(ctx)
	if err != nil {
		e.add("node", e.folder.Spec().Name, Failure, err.Error(), "")
		return nil
	}
	for _, s := range report {
		switch s.Health {
		case org.Running:
			e.add("node", s.Node, Fine, "runs at "+s.Address, "")
		case org.Behind:
			e.add("node", s.Node, Failure, fmt.Sprintf("is behind, at height %d", s.Height), "an orderer that does not catch up stands still: restart it")
		case org.Stopped:
			e.add("node", s.Node, Failure, "is stopped", "waybill org up")
		default:
			e.add("node", s.Node, Failure, "runs and does not answer at "+s.Address, "see what it says: waybill org logs "+s.Node)
		}
	}
	return report
}

func (e *examination) configuration(ctx context.Context) error {
	spec, me := e.folder.Spec(), e.folder.Client()
	robot := me.People["gateway"]
	s, err := channel.ReadSigner(spec.MSPID, robot.Cert, robot.Key, nil)
	if err != nil {
		return err
	}
	member, err := channel.Connect(spec.Channel, s, me.PeerAddress, me.PeerTLSCA)
	if err != nil {
		return err
	}
	defer member.Close() //nolint:errcheck // it was only read from
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if e.config, _, err = member.Current(ctx); err != nil {
		return err
	}
	e.channel, err = cert.ReadChannel(e.config)
	return err
}

func (e *examination) certificates() {
	folder, err := cert.Open(e.folder.Dir())
	if err != nil {
		e.add("certificate", e.folder.Dir(), Failure, err.Error(), "")
		return
	}
	entries, err := folder.List(&e.channel, e.o.Now())
	if err != nil {
		e.add("certificate", e.folder.Dir(), Failure, err.Error(), "restore it from a backup, or have it issued anew")
		return
	}
	good := 0
	for _, c := range entries {
		level, todo := Warning, "its organisation renews it"
		if c.Ours {
			todo = "waybill cert renew " + c.Name
			if c.Name == "ca" || c.Name == "tlsca" {
				todo = "waybill cert rollover"
			}
		}
		switch c.Standing {
		case cert.Good:
			good++
			continue
		case cert.Ended, cert.NotYet:
			if c.Ours {
				level = Failure
			}
		case cert.IsRevoked:
			if !c.Ours {
				continue
			}
		}
		e.add("certificate", c.Name, level, fmt.Sprintf("%s, %s: %s (%d days left)", c.Standing, c.For, c.Expires.Format(time.DateTime), max(0, c.Days)), todo)
	}
	e.add("certificate", "all", Fine, fmt.Sprintf("%d of %d hold", good, len(entries)), "")
	e.consenters(entries)
}

// consenters says what the certificates that the channel pins amount to, whoever's they are: too few that hold, and no block
// is made any more.
func (e *examination) consenters(entries []cert.Entry) {
	pinned, held := 0, 0
	var next cert.Entry // to end, of those that hold
	for _, c := range entries {
		if c.Ours || !c.Consenter {
			continue
		}
		pinned++
		if c.Standing != cert.Good && c.Standing != cert.EndsSoon {
			continue
		}
		if held++; next.Name == "" || c.Expires.Before(next.Expires) {
			next = c
		}
	}
	if pinned == 0 {
		return
	}
	of, quorum := fmt.Sprintf("%d consenters", pinned), channel.Quorum(pinned)
	const renew = "tell their organisations: waybill cert renew orderer-enrolment, one after the other, each with its vote"
	switch {
	case held < quorum:
		e.add("quorum", of, Failure, fmt.Sprintf("certificates of %d hold, and %d must sign a block", held, quorum), renew)
	case held == quorum && held < pinned:
		e.add("quorum", of, Warning, fmt.Sprintf("certificates of %d hold, as many as must sign a block: with one more away there is none", held), renew)
	default:
		e.add("quorum", of, Fine, fmt.Sprintf("%d hold, the first to end is %s, with %d days left", held, next.Name, next.Days), "")
	}
}

func (e *examination) chaincode(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ask := e.folder.ChaincodeInForce
	if e.o.AsAdmin {
		ask = e.folder.ChaincodeStatus
	}
	status, err := ask(ctx)
	switch {
	case err != nil:
		e.add("chaincode", e.folder.Spec().Chaincode, Failure, err.Error(), "")
	case status.Committed == nil:
		e.add("chaincode", status.Proposed.Name, Failure, "no definition is in force", "waybill chaincode approve")
	case !status.InForce():
		e.add("chaincode", status.Proposed.Name, Failure,
			fmt.Sprintf("version %s is in force, this organisation has %s with package %s", status.Committed.Version, status.Proposed.Version, status.Proposed.PackageID), "waybill chaincode status")
	case !e.o.AsAdmin:
		e.add("chaincode", status.Proposed.Name, Fine, "version "+status.Committed.Version+", package "+status.Proposed.PackageID+"; whether this organisation approved it is told to its admin only, whose key is encrypted: --passphrase-file", "")
	case !status.Approved:
		// The approval is private data of this organisation: a peer that read the chain anew has its hash, by which it endorses.
		e.add("chaincode", status.Proposed.Name, Warning,
			fmt.Sprintf("version %s is in force; the own peer does not hold this organisation's approval of package %s, as one that lost its data does not", status.Committed.Version, status.Proposed.PackageID),
			"if nothing was lost, compare packages: waybill chaincode status")
	default:
		e.add("chaincode", status.Proposed.Name, Fine, "version "+status.Committed.Version+", package "+status.Proposed.PackageID, "")
	}
}

// indexLag is how many blocks an index may be behind its peer between two looks.
const indexLag = 20

func (e *examination) gateway(ctx context.Context) {
	if e.o.Gateway == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	of := e.folder.Spec().Announce.Gateway
	g, err := e.o.Gateway(ctx)
	if err != nil {
		e.add("index", of, Failure, "the gateway does not answer: "+err.Error(), "start it, and see what it says")
		return
	}
	switch {
	case g.Stale || g.Height+indexLag < g.PeerHeight:
		e.add("index", of, Failure, fmt.Sprintf("is at height %d, its peer at %d", g.Height, g.PeerHeight), "if it does not catch up, see the gateway's log; waybill-gateway reindex rebuilds it")
	default:
		e.add("index", of, Fine, fmt.Sprintf("is at height %d, its peer at %d", g.Height, g.PeerHeight), "")
	}
	if g.Version != e.o.Version {
		e.add("version", of, Warning, fmt.Sprintf("the gateway is of version %s, this program of %s", g.Version, e.o.Version), "bring both to one version")
	}
	if g.Waiting != "" {
		e.add("queue", of, Warning, "events wait: "+g.Waiting, "waybill status")
	}
	if g.Dead > 0 {
		e.add("queue", of, Warning, fmt.Sprintf("%d events were given up", g.Dead), "waybill queue list")
	}
}

// place is a node of the channel as its configuration names it.
type place struct {
	mspID, kind, address string
	roots                *x509.CertPool
}

// places are the anchor peers and the consenters.
func (e *examination) places() []place {
	var out []place
	groups := e.config.GetChannelGroup().GetGroups()
	for mspID, group := range groups["Application"].GetGroups() {
		anchors := &peer.AnchorPeers{}
		if proto.Unmarshal(group.GetValues()["AnchorPeers"].GetValue(), anchors) != nil {
			continue
		}
		for _, a := range anchors.GetAnchorPeers() {
			out = append(out, place{mspID, "peer", fmt.Sprintf("%s:%d", a.GetHost(), a.GetPort()), tlsRoots(group)})
		}
	}
	for _, c := range e.channel.Consenters {
		out = append(out, place{c.GetMspId(), "orderer", fmt.Sprintf("%s:%d", c.GetHost(), c.GetPort()), tlsRoots(groups["Orderer"].GetGroups()[c.GetMspId()])})
	}
	slices.SortFunc(out, func(a, b place) int {
		if a.mspID+a.kind < b.mspID+b.kind {
			return -1
		}
		return 1
	})
	return out
}

func tlsRoots(group *common.ConfigGroup) *x509.CertPool {
	roots := x509.NewCertPool()
	outer, inner := &msp.MSPConfig{}, &msp.FabricMSPConfig{}
	if proto.Unmarshal(group.GetValues()["MSP"].GetValue(), outer) != nil || proto.Unmarshal(outer.GetConfig(), inner) != nil {
		return roots // then nobody is believed
	}
	for _, text := range slices.Concat(inner.GetTlsRootCerts(), inner.GetTlsIntermediateCerts()) {
		roots.AppendCertsFromPEM(text)
	}
	return roots
}

// farBehind is how many blocks peers may differ by: they are not asked at one moment.
const farBehind = 20

// endpoints asks every node that the channel names: whether it is reached from here, with a certificate of its
// organisation, and of peers, how high they are and what time they have.
func (e *examination) endpoints(ctx context.Context, own []org.NodeStatus) {
	if e.config == nil {
		return
	}
	places := e.places()
	answers := make([]answer, len(places))
	var all errgroup.Group
	for i, p := range places {
		all.Go(func() error {
			answers[i] = e.ask(ctx, p)
			return nil
		})
	}
	_ = all.Wait() // what is wrong is in answers
	var most, mine uint64
	for _, a := range answers {
		most = max(most, a.height)
	}
	for _, s := range own {
		if s.Kind == org.KindPeer {
			mine = s.Height
		}
	}
	asked, agree := 0, 0
	for i, p := range places {
		a, of := answers[i], p.mspID+" "+p.kind
		if a.err != nil {
			level := Warning
			if p.mspID == e.folder.Spec().MSPID {
				level = Failure
			}
			e.add("endpoint", of, level, fmt.Sprintf("%s is not reached from here: %v", p.address, a.err), "look at firewalls and names; its organisation sees whether it runs")
			continue
		}
		e.add("endpoint", of, Fine, fmt.Sprintf("%s answers, certificate until %s", p.address, a.until.Format(time.DateOnly)), "")
		if p.kind != "peer" {
			continue
		}
		if a.height+farBehind < most {
			e.add("height", of, Warning, fmt.Sprintf("is at height %d, another at %d", a.height, most), "")
		}
		if a.clock != nil {
			asked++
			if *a.clock == 0 {
				agree++
			}
			e.clockOf(of, *a.clock)
		}
	}
	if mine > 0 {
		level, todo := Fine, ""
		if mine+farBehind < most {
			level, todo = Failure, "see what the peer says: waybill org logs peer"
		}
		e.add("height", e.folder.Spec().MSPID, level, fmt.Sprintf("the own peer is at height %d, the highest at %d", mine, most), todo)
	}
	if asked > 0 && agree*2 < asked {
		e.add("clock", "this host", Failure, "most peers have another time than this host", "set the clock (NTP): transactions of this host are refused")
	}
}
