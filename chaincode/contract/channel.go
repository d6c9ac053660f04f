package contract

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"regexp"
	"slices"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// ChannelContract gathers signatures on changes of the channel's configuration. It does not change it: orderers
// do, when enough organisations signed, whoever brings them the signatures. Nor does it read the updates: what
// one says, each voter's own program reads from its bytes, against the configuration of the voter's own peer.
type ChannelContract struct{ contractapi.Contract }

const (
	// maxUpdate bounds a configuration update, in bytes: a list of 48 consenters and a new organisation fit.
	maxUpdate = 256 << 10
	// maxChannelChange bounds what is proposed: an update in base64 and what is said with it.
	maxChannelChange = maxUpdate*4/3 + 4<<10
	// maxHeader bounds what a signature says of its signer: a certificate.
	maxHeader = 8 << 10
)

var channelTitle = regexp.MustCompile(`^[a-z][a-z-]{0,31}( [A-Za-z0-9._-]{1,64})?$`)

// channelChange is a change of the channel's configuration, and of the members with it.
type channelChange state.ChannelChange

func parseChannelChange(text []byte) (change, error) {
	var said struct {
		Title  string `json:"title"`
		Update string `json:"update"`
		Add    string `json:"add"`
		Remove string `json:"remove"`

		Sequence int `json:"sequence"`
		Members  int `json:"members"`
	}
	if err := strictjson.Unmarshal(text, &said, strictjson.Limits{Bytes: maxChannelChange, Depth: 2}); err != nil {
		return change{}, err
	}
	if !channelTitle.MatchString(said.Title) {
		return change{}, provenance.Errorf(provenance.Invalid, "title %q: want what is changed, such as org-add RetailMSP", clip(said.Title))
	}
	if said.Sequence < 0 || said.Members < 0 {
		return change{}, provenance.Errorf(provenance.Invalid, "sequence, members: want the versions that the update was computed from")
	}
	c := channelChange{Title: said.Title, Add: said.Add, Remove: said.Remove, ChannelBase: state.ChannelBase{Sequence: said.Sequence, Members: said.Members}}
	var err error
	if c.Update, err = base64.StdEncoding.Strict().DecodeString(said.Update); err != nil || len(c.Update) == 0 || len(c.Update) > maxUpdate {
		return change{}, provenance.Errorf(provenance.Invalid, "update: want 1 to %d bytes in base64", maxUpdate)
	}
	if said.Add != "" && said.Remove != "" {
		return change{}, provenance.Errorf(provenance.Invalid, "one organisation comes or goes with a change of the channel, not two")
	}
	for _, id := range []string{said.Add, said.Remove} {
		if id == "" {
			continue
		}
		if err := checkMSP(id); err != nil {
			return change{}, err
		}
	}
	body, err := state.Encode(c)
	return change{kind: state.ProposeChannel, name: said.Title, body: body, effect: c}, err
}

// base is how often the channel was changed by a vote: the next change is computed from what came of the last, and
// what was open beside it is proposed anew. Only a majority moves it: were it the configuration's own sequence, then an
// organisation that changes its own address again and again would keep every vote from ending, its removal too.
func (channelChange) base(g governance) int { return g.channel.Version }

func (c channelChange) load(tx *Tx, g *governance) error {
	_, err := state.Read(tx, state.ChannelVotesKey(), &g.channel)
	return err
}

// member is what becomes of an organisation with the change; nil where nothing does: it is so already.
func (c channelChange) member(g governance) *memberChange {
	m := memberChange{add: c.Add != "", msp: c.Add + c.Remove}
	there := slices.Contains(g.members.MSPs, m.msp) || slices.Contains(g.members.Invited, m.msp)
	if m.msp == "" || m.add == there {
		return nil
	}
	return &m
}

func (c channelChange) check(g governance) error {
	if c.Members != g.members.Version {
		return provenance.Errorf(provenance.Stale, "the update was computed from version %d of the members' list, and version %d is in force: propose it anew", c.Members, g.members.Version)
	}
	if m := c.member(g); m != nil {
		return m.check(g)
	}
	return nil
}

func (c channelChange) enact(tx *Tx, g governance, p state.Proposal, voters []policy.Person) (int, error) {
	if err := putGoverned(tx, g.members, state.ChannelVotesKey(), state.ChannelVotes{Version: g.channel.Version + 1, Proposal: p.ID}); err != nil {
		return 0, err
	}
	if m := c.member(g); m != nil {
		return m.enact(tx, g, p, voters)
	}
	return 0, nil
}

// Propose opens a vote on a configuration update with the caller's own signature on it; header and signature are
// those of a common.ConfigSignature, in base64.
func (ChannelContract) Propose(tx *Tx, body, header, signature string) (string, error) {
	c, err := parseChange(state.ProposeChannel, []byte(body))
	if err != nil {
		return "", err
	}
	s, err := readSignature(tx, c, header, signature)
	if err != nil {
		return "", err
	}
	return openProposal(tx, state.ProposeChannel, []byte(body), state.Ballot{Yes: true, Signature: s})
}

// Vote says yes for the caller's organisation, with the caller's signature on the update whose hash is named:
// Proposal.Hash as the voter computed it. It may still be said when the vote is won: Fabric may want more
// signatures than the members' majority. Said again, the newer signature takes the place of the older: a certificate
// may have been renewed or revoked since. A no is proposal:Vote.
func (ChannelContract) Vote(tx *Tx, id, hash, header, signature, reason string) (string, error) {
	if err := checkReason(reason); err != nil {
		return "", err
	}
	p, err := loadProposal(tx, id)
	if err != nil {
		return "", err
	}
	if p.Kind != state.ProposeChannel {
		return "", provenance.Errorf(provenance.Invalid, "proposal %s is no change of the channel: waybill proposal vote", p.ID)
	}
	c, err := storedChange(p)
	if err != nil {
		return "", err
	}
	if content := state.ContentHash(p.Body, p.Source); hash != content || state.ProposalID(c.hash(p.Base), p.Round) != p.ID {
		return "", provenance.Errorf(provenance.Stale, "proposal %s is of the update %s, not of %s: look at it again", p.ID, content, clip(hash))
	}
	s, err := readSignature(tx, c, header, signature)
	if err != nil {
		return "", err
	}
	g, err := loadGovernance(tx, c)
	if err != nil {
		return "", err
	}
	ballot := state.Ballot{Yes: true, Reason: reason, Signature: s}
	switch p.Status {
	case state.ProposalOpen:
		return castVote(tx, g, c, p, false, ballot)
	case state.ProposalAccepted:
		return addSignature(tx, g, p, ballot)
	}
	return "", provenance.Errorf(provenance.Conflict, "proposal %s is %s already", p.ID, p.Status)
}

// addSignature adds the word of an organisation to a vote that is won, or its newer signature.
func addSignature(tx *Tx, g governance, p state.Proposal, b state.Ballot) (string, error) {
	own, err := loadBallots(tx, p.ID, []string{tx.caller.MSP})
	if err != nil {
		return "", err
	}
	said := len(own) > 0 && own[0].Same(b)
	if !said {
		b.Proposal, b.MSP, b.Act = p.ID, tx.caller.MSP, tx.act()
		if err := putGoverned(tx, g.members, state.BallotKey(p.ID, b.MSP), b); err != nil {
			return "", err
		}
	}
	ballots, err := loadBallots(tx, p.ID, slices.DeleteFunc(slices.Clone(g.members.MSPs), func(msp string) bool { return msp == tx.caller.MSP }))
	if err != nil {
		return "", err
	}
	if !said {
		own = []state.Ballot{b}
	}
	return answer(tally(g, p, append(ballots, own...)), nil)
}

// Votes returns the ballots on a change of the channel with their signatures, which anybody may bring to an orderer.
// Those of organisations that left since are among them: whether they count is for the channel.
func (ChannelContract) Votes(tx *Tx, id string) (string, error) {
	p, err := readProposal(tx, id)
	if err != nil {
		return "", err
	}
	ballots := []state.Ballot{}
	if err := scanInto(tx, &ballots, state.TypeBallot, p.ID); err != nil {
		return "", err
	}
	return answer(ballots, nil)
}

// readSignature reads a signature and makes sure that it is the caller's own, over the update: what is gathered
// here must be of use to whoever brings it to an orderer.
func readSignature(tx *Tx, c change, header, signature string) (*state.ConfigSignature, error) {
	update := state.ChannelChange(c.effect.(channelChange)).Update
	if !tx.certifiedAdmin([]state.Role{state.RoleAdmin}) {
		return nil, provenance.Errorf(provenance.Forbidden, "%s is no admin by certificate: the channel counts no other signatures", tx.caller)
	}
	s := &state.ConfigSignature{}
	for _, f := range []struct {
		text string
		into *[]byte
		most int
	}{{header, &s.Header, maxHeader}, {signature, &s.Signature, 256}} {
		b, err := base64.StdEncoding.Strict().DecodeString(f.text)
		if err != nil || len(b) == 0 || len(b) > f.most {
			return nil, provenance.Errorf(provenance.Invalid, "signature: want a header and a signature in base64")
		}
		*f.into = b
	}
	var head common.SignatureHeader
	var id msp.SerializedIdentity
	if proto.Unmarshal(s.Header, &head) != nil || proto.Unmarshal(head.GetCreator(), &id) != nil {
		return nil, provenance.Errorf(provenance.Invalid, "signature: its header does not say whose it is")
	}
	cert, err := tx.GetClientIdentity().GetX509Certificate()
	if err != nil || cert == nil {
		return nil, provenance.Errorf(provenance.Forbidden, "caller presents no X.509 certificate")
	}
	block, rest := pem.Decode(id.GetIdBytes())
	if id.GetMspid() != tx.caller.MSP || block == nil || len(bytes.TrimSpace(rest)) > 0 || !bytes.Equal(block.Bytes, cert.Raw) {
		return nil, provenance.Errorf(provenance.Forbidden, "signature: it is not said to be of %s, who brings it", tx.caller)
	}
	if !signedBy(cert, append(slices.Clone(s.Header), update...), s.Signature) {
		return nil, provenance.Errorf(provenance.Forbidden, "signature: not made by %s over this update", tx.caller)
	}
	return s, nil
}

// signedBy verifies as Fabric does: of the two forms of an ECDSA signature only the one with the lower S counts.
func signedBy(cert *x509.Certificate, message, signature []byte) bool {
	switch key := cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		var sig struct{ R, S *big.Int }
		rest, err := asn1.Unmarshal(signature, &sig)
		if err != nil || len(rest) > 0 || sig.S.Cmp(new(big.Int).Rsh(key.Params().N, 1)) > 0 {
			return false
		}
		sum := sha256.Sum256(message)
		return ecdsa.VerifyASN1(key, sum[:], signature)
	case ed25519.PublicKey:
		return ed25519.Verify(key, message, signature)
	}
	return false
}
