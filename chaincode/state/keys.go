// Package state is the key map: what stands on the ledger, under which key.
//
//	key (composite: type, attributes)             value          written by
//	member    <msp>                               Member         member:Join       (deleted when it is voted out)
//	members   -                                   Members        member:Found, Join, proposal:*   (the list; guarded)
//	grant     <msp> <identity> <role>             Grant          member:Grant, member:Revoke
//	taken     <msp> <identity>                    TakenBack      member:TakeBack   (what a stolen identity did counts no more)
//	registry  <host>                              Registry       proposal:*        (who owns which of its namespaces; guarded)
//	segment   <host> <msp> <lane> <seq>           Segment        record:Segment    (immutable; under which key its bytes are, and their hash)
//	journal   <time> <host> <msp> <lane> <seq>    segment bytes  record:Segment    (immutable; provenance.EncodeSegment; the state holds those
//	                                                             that hide who pulled, the others are the event of their transaction)
//	0page     <n> <host> <repository>             page           record:Segment    (the places and tags that a segment added or changed, as they were then; immutable)
//	directory <host> <repository> -               head           record:Segment    (of what finds the repository's pages: the newest entries, and its runs; see package packed)
//	run       <run>.<n> <host> <repository>       chunk          record:Segment    (of a sorted run of entries; immutable, removed when it is merged)
//	place     <digest> <host> <repository>        Place          record:Segment, record:Manifest  (is in a page instead until an act needs it)
//	parents   <child> <host> <repository>         Parents        record:Segment, record:Manifest  (some indexes that list an image; that there are any lets evidence about it in, else for people)
//	tag       <host> <repository> <tag>           Tag            record:Segment    (the same)
//	promotion <stage> <host> <repository> <digest>             Promotion  promotion:Request, Approve, Reject, Cancel
//	requests  <msp>                               Requests       promotion:Request (the open promotions an organisation asked for)
//	approval  <stage> <host> <repository> <digest> <n> <msp>   Approval   promotion:Approve, Reject (n: attempt)
//	released  <stage> <host> <repository> <digest>             Release    promotion:Approve, release:Release
//	release   <stage> <host> <repository>         Current        (same)            (the stage's current image)
//	carrier   <stage> <host> <repository> <child> Carrier        (same)            (the index through which a platform image was released)
//	refusal   <stage> <host> <repository> <digest> <txid>      Refusal    release:Release
//	hold      <digest> <msp>                      Hold           quarantine:Set, Lift, proposal:* (lift)
//	policies  -                                   Catalogue      proposal:*        (active policies; bounded; guarded)
//	policy    <name> <version>                    PolicyVersion  proposal:*        (immutable; guarded)
//	proposed  <hash of a change>                  Proposed       proposal:Open     (how often it was proposed)
//	proposals <msp>                               Proposals      proposal:Open     (the open proposals an organisation made)
//	proposal  <id>                                Proposal       proposal:Open, Vote, Withdraw   (guarded)
//	proposaltext <id>                             ProposalText   proposal:Open     (what it would put in force; immutable; guarded)
//	ballot    <id> <msp>                          Ballot         proposal:Open, Vote             (guarded)
//	channelvotes -                                ChannelVotes   proposal:*        (how often the channel was changed by a vote; guarded)
//	key       <msp> <name>                        TrustKey       key:Add, Withdraw
//	trust     <msp> <name>                        TrustedRoot    trust:Add, Withdraw, proposal:* (a root of keyless signatures; msp "": shared, and guarded)
//	trusttext <msp> <name> <version>              RootVersion    trust:Add, proposal:*    (immutable; guarded where shared)
//	trusts    <msp>                               RootList       trust:Add, proposal:*    (their names)
//	schema    <msp> <name>                        Schema         schema:Add        (of evidence type custom/<msp>/<name>)
//	evidence  <digest> <type> <id>                Evidence       evidence:Submit   (immutable but for its withdrawal: evidence:Withdraw)
//	evset     <digest> <msp>                      EvidenceSet    evidence:Submit   (newest piece of each signer and type that an organisation handed in)
//	evpast    <digest> <msp> <type> <signer>      EvidencePast   evidence:Submit   (the older ones of one entry)
//	said      <digest> <type> <signer> <signature> FirstPiece    evidence:Submit   (which piece a signature came as first)
//	witness   <digest> <host> <repository> <msp>  Witness        record:Witness
//	waivers   <host> <repository> <msp>           Waivers        waiver:Request, Approve, Revoke  (msp: who asked)
//	labels    <host> <repository>                 Labels         label:Set
//	context   <msp>                               Context        context:Set
//	clock     -                                   Clock          clock:Tick
//	gap       <seq>                               Gap            clock:Tick        (the clock stood still after that tick)
//	genesis   -                                   Genesis        genesis:Import    (how far the state of the channel before was imported)
//	gate      <stage> <host> <repository> <digest> <n>         Gate       promotion:Request, release:* (its key-level
//	                                                             endorsement policy names the organisations of the stage's
//	                                                             rules; n: version of the membership)
//
// In the private data collection of the organisation that owns the registry, not in the state that all share:
//
//	clients   <host> <lane> <seq>                 clients bytes  record:Clients    (purged: record:PurgeClients; provenance.EncodeClients)
//	purged    <host> <lane> <seq>                 "purged"       record:PurgeClients   (they are never kept again)
//
// Guarded: the key carries an endorsement policy of its own, the peers of as
// many members as decide a vote, which every later write of it must meet.
//
// The digest comes first in place, so that one key answers both "is this image
// in this repository?" (a key read) and "where is this image?" (asked of an index,
// which finds all places of a digest). There is no counter and no hot key: a repository's directory has one writer, its lane.
//
// Pages come before all other keys, for a peer's LevelDB. It merges each file of new
// keys with all that lies between the first and the last of them: most bytes are in
// pages, and an old page lies before all that is written after it.
//
// The package knows no Fabric: the contract reads through the peer's stub, the
// gateway through its index, and both run the same queries.
package state

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// The key types.
const (
	TypeMember       = "member"
	TypeMembers      = "members"
	TypeGrant        = "grant"
	TypeRegistry     = "registry"
	TypeSegment      = "segment"
	TypeJournal      = "journal"
	TypeClients      = "clients"
	TypePurged       = "purged"
	TypePage         = "0page" // the first of all, also of types that are still to come
	TypeDirectory    = "directory"
	TypeRun          = "run"
	TypePlace        = "place"
	TypeParents      = "parents"
	TypeTag          = "tag"
	TypePromotion    = "promotion"
	TypeApproval     = "approval"
	TypeReleased     = "released"
	TypeRelease      = "release"
	TypeRefusal      = "refusal"
	TypeHold         = "hold"
	TypePolicies     = "policies"
	TypePolicy       = "policy"
	TypeProposal     = "proposal"
	TypeBallot       = "ballot"
	TypeProposalText = "proposaltext"
	TypeChannelVotes = "channelvotes"
	TypeKey          = "key"
	TypeTrust        = "trust"
	TypeTrustText    = "trusttext"
	TypeTrusts       = "trusts"
	TypeSchema       = "schema"
	TypeEvidence     = "evidence"
	TypeEvSet        = "evset"
	TypeWitness      = "witness"
	TypeWaivers      = "waivers"
	TypeLabels       = "labels"
	TypeContext      = "context"
	TypeGate         = "gate"
	TypeTaken        = "taken"
	TypeRequests     = "requests"
	TypeCarrier      = "carrier"
	TypeProposed     = "proposed"
	TypeProposals    = "proposals"
	TypeEvPast       = "evpast"
	TypeFirstPiece   = "said"
	TypeClock        = "clock"
	TypeGap          = "gap"
	TypeGenesis      = "genesis"
)

// Key builds a key. The form is that of Fabric's composite keys
// (fabric-chaincode-go shim.CreateCompositeKey): NUL, type, NUL, and each
// attribute closed by NUL. Attributes come from parsed values, which hold no NUL.
func Key(objectType string, attributes ...string) string {
	var b strings.Builder
	size := 2 + len(objectType) + len(attributes)
	for _, a := range attributes {
		size += len(a)
	}
	b.Grow(size)
	b.WriteByte(0)
	b.WriteString(objectType)
	b.WriteByte(0)
	for _, a := range attributes {
		b.WriteString(a)
		b.WriteByte(0)
	}
	return b.String()
}

// SplitKey takes a key apart; ok is false for a key of another form.
func SplitKey(key string) (objectType string, attributes []string, ok bool) {
	if len(key) < 3 || key[0] != 0 || key[len(key)-1] != 0 {
		return "", nil, false
	}
	parts := strings.Split(key[1:len(key)-1], "\x00")
	return parts[0], parts[1:], true
}

// MemberKey names an organisation's record.
func MemberKey(msp string) string { return Key(TypeMember, msp) }

// MembersKey names the list of members.
func MembersKey() string { return Key(TypeMembers) }

// GrantKey names one role of one identity.
func GrantKey(msp, identity, role string) string { return Key(TypeGrant, msp, identity, role) }

// RegistryKey names a registry.
func RegistryKey(host provenance.Host) string { return Key(TypeRegistry, string(host)) }

// SegmentKey names a segment of the organisation that recorded it: nobody can
// take the name of another's. seq is written so that keys sort by number.
func SegmentKey(host provenance.Host, msp, lane string, seq uint64) string {
	return Key(TypeSegment, string(host), msp, lane, fmt.Sprintf("%016x", seq))
}

// SegmentEvent is the name of the event that carries the bytes of a segment.
const SegmentEvent = "segment"

// JournalKey names the bytes of a segment. Seconds since 1970 come first, so that
// keys are in the order in which they come, whatever the lane: who keeps them sorted,
// as LevelDB and SQLite do, appends them.
func JournalKey(at time.Time, host provenance.Host, msp, lane string, seq uint64) string {
	return Key(TypeJournal, fmt.Sprintf("%010x", max(at.Unix(), 0)), string(host), msp, lane, fmt.Sprintf("%016x", seq))
}

// Journal is what a JournalKey names.
type Journal struct {
	Host      provenance.Host
	MSP, Lane string
	Seq       uint64
}

// SplitJournal takes a JournalKey apart; ok is false for any other key.
func SplitJournal(key string) (j Journal, ok bool) {
	objectType, a, ok := SplitKey(key)
	if !ok || objectType != TypeJournal || len(a) != 5 {
		return Journal{}, false
	}
	seq, err := strconv.ParseUint(a[4], 16, 64)
	return Journal{provenance.Host(a[1]), a[2], a[3], seq}, err == nil
}

// PlaceKey names an image in a repository. Its digest is the bare hash in
// base64url: 43 characters instead of 71, and every push writes one.
func PlaceKey(d provenance.Digest, host provenance.Host, repo provenance.Repository) string {
	return Key(TypePlace, digestAttribute(d), string(host), string(repo))
}

// PlacePrefix is what the keys of all places of an image have in common, and,
// with a host and a repository, of one of them (Scanner.Scan).
func PlacePrefix(d provenance.Digest, rest ...string) []string {
	return append([]string{digestAttribute(d)}, rest...)
}

// PlaceDigest is the image that a PlaceKey is about; any other key is an Internal error.
func PlaceDigest(key string) (provenance.Digest, error) {
	objectType, a, ok := SplitKey(key)
	if !ok || objectType != TypePlace || len(a) == 0 {
		return provenance.Digest{}, provenance.Errorf(provenance.Internal, "key %q is no place's", key)
	}
	hash, err := base64.RawURLEncoding.Strict().DecodeString(a[0])
	if err != nil {
		return provenance.Digest{}, provenance.Wrap(provenance.Internal, err, "key %q is no place's", key)
	}
	return provenance.DigestOfHash(hash)
}

// ParentsKey names the list of indexes that list a platform image in a
// repository. Which they are is for people: anybody who may push adds to it.
func ParentsKey(child provenance.Digest, host provenance.Host, repo provenance.Repository) string {
	return Key(TypeParents, child.String(), string(host), string(repo))
}

// TagKey names a tag.
func TagKey(host provenance.Host, repo provenance.Repository, tag provenance.Tag) string {
	return Key(TypeTag, string(host), string(repo), string(tag))
}

// Subject is what a promotion and a release are about.
type Subject struct {
	Stage      string                `json:"stage"`
	Host       provenance.Host       `json:"host"`
	Repository provenance.Repository `json:"repository"`
	Digest     provenance.Digest     `json:"digest"`
}

// PromotionKey names the promotion of an image to a stage.
func (s Subject) PromotionKey() string {
	return Key(TypePromotion, s.Stage, string(s.Host), string(s.Repository), s.Digest.String())
}

// ApprovalKey names one organisation's word on one attempt of a promotion.
func (s Subject) ApprovalKey(attempt int, msp string) string {
	return Key(TypeApproval, s.Stage, string(s.Host), string(s.Repository), s.Digest.String(), fmt.Sprintf("%06d", attempt), msp)
}

// ReleasedKey names the release of an image to a stage.
func (s Subject) ReleasedKey() string {
	return Key(TypeReleased, s.Stage, string(s.Host), string(s.Repository), s.Digest.String())
}

// ReleaseKey names a stage's current image in a repository.
func (s Subject) ReleaseKey() string {
	return Key(TypeRelease, s.Stage, string(s.Host), string(s.Repository))
}

// CarrierKey names the index through which an image was released to the stage.
func (s Subject) CarrierKey() string {
	return Key(TypeCarrier, s.Stage, string(s.Host), string(s.Repository), digestAttribute(s.Digest))
}

// RefusalKey names a refused release.
func (s Subject) RefusalKey(txID string) string {
	return Key(TypeRefusal, s.Stage, string(s.Host), string(s.Repository), s.Digest.String(), txID)
}
