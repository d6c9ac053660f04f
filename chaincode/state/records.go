package state

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/manifest"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Role is what a person or robot may do for its organisation.
type Role string

// The roles. An identity whose certificate carries the Node OU "admin" is an
// admin without a grant: somebody has to grant first.
const (
	RoleAdmin          Role = "admin"
	RolePublisher      Role = "publisher"
	RoleScanner        Role = "scanner"
	RoleReleaseManager Role = "release-manager"
	RoleAuditor        Role = "auditor"
	RoleGateway        Role = "gateway"
	// RoleRobot permits nothing: it marks an identity as no person, whose
	// approvals count only where a rule says so.
	RoleRobot Role = "robot"
)

// Roles lists them all.
func Roles() []Role {
	return []Role{RoleAdmin, RolePublisher, RoleScanner, RoleReleaseManager, RoleAuditor, RoleGateway, RoleRobot}
}

// Act is who did something, and when by the transaction's own timestamp
// (claimed by the client, bounded by the peers' time window).
type Act struct {
	By policy.Person `json:"by"`
	At time.Time     `json:"at"`
}

// Grant gives one identity of a member one role, until it is revoked.
type Grant struct {
	MSP      string `json:"msp"`
	Identity string `json:"identity"`
	Role     Role   `json:"role"`
	Revoked  bool   `json:"revoked,omitempty"`
	// Given is by whom and when one that is revoked was given.
	Given *Act `json:"given,omitempty"`
	Act
}

// Giver is by whom and when it was given.
func (g Grant) Giver() Act {
	if g.Given != nil {
		return *g.Given
	}
	return g.Act
}

// TakenBack says since when nothing counts that an identity did: it was stolen,
// and an admin of its organisation takes it back. A later one may only name an
// earlier time.
type TakenBack struct {
	MSP      string    `json:"msp"`
	Identity string    `json:"identity"`
	Since    time.Time `json:"since"`
	Reason   string    `json:"reason"`
	Act
}

// Reaches tells whether what was done at a time is taken back.
func (t *TakenBack) Reaches(at time.Time) bool { return t != nil && !at.Before(t.Since) }

// String says who took back what and why.
func (t *TakenBack) String() string {
	return "taken back by " + t.By.String() + " since " + t.Since.UTC().Format("2006-01-02 15:04 UTC") + ": " + t.Reason
}

// Registry says whose events are recorded for an OCI registry.
type Registry struct {
	Host    provenance.Host `json:"host"`
	Claims  []Claim         `json:"claims"`  // by namespace, each once
	Version int             `json:"version"` // counts the votes that changed it
}

// Claim is an organisation's part of a registry, given by a vote: its gateways
// alone record the events of the repositories in its namespace.
type Claim struct {
	// Namespace is the first segments of the repositories' names; "" is the whole registry.
	Namespace string `json:"namespace,omitempty"`
	Owner     string `json:"owner"` // MSP id
	Kind      string `json:"kind"`
	// Layout is how the records of its pushes are kept.
	Layout int `json:"layout,omitempty"`
	Act
}

// Claim returns the claim that a repository falls under: that of the longest
// namespace.
func (r Registry) Claim(repo provenance.Repository) (c Claim, ok bool) {
	for _, o := range r.Claims {
		in := o.Namespace == "" || string(repo) == o.Namespace || strings.HasPrefix(string(repo), o.Namespace+"/")
		if in && (!ok || len(o.Namespace) > len(c.Namespace)) {
			c, ok = o, true
		}
	}
	return c, ok
}

// Owns tells whether an organisation has a part of the registry.
func (r Registry) Owns(msp string) bool {
	return slices.ContainsFunc(r.Claims, func(c Claim) bool { return c.Owner == msp })
}

// Layout is how this version keeps the records of pushes: all in pages that a
// directory finds, which is a log-structured merge. A registry of layout 0 had each
// under a key of its own, one of layout 1 some of them, and its directory was a
// hash table; one of layout 2 had its pages under other keys. None would be found.
const Layout = 3

// Segment is where the bytes of a recorded segment stand, and what they hash to.
type Segment struct {
	Journal string            `json:"journal"` // its key
	Sum     provenance.Digest `json:"sum"`
}

// Place is an image in a repository, as first pushed there.
type Place struct {
	MediaType    string              `json:"mediaType,omitempty"`
	ArtifactType string              `json:"artifactType,omitempty"`
	Size         int64               `json:"size,omitempty"`
	Config       provenance.Digest   `json:"config,omitzero"`
	Subject      provenance.Digest   `json:"subject,omitzero"`
	Children     []provenance.Digest `json:"children,omitempty"`
	Nested       []provenance.Digest `json:"nested,omitempty"` // of Children, in their order: manifest.Facts.Nested
	Actor        string              `json:"actor,omitempty"`  // the registry's word
	MSP          string              `json:"msp"`              // whose gateway recorded it
	At           time.Time           `json:"at"`               // the registry's clock
	Deleted      bool                `json:"deleted,omitempty"`
	// Proven: what stands from MediaType to Nested was derived by the contract
	// from bytes that hash to the digest. Else nobody's word stands there.
	Proven bool `json:"proven,omitempty"`
	// Tags it was pushed under, newest last, at most MaxPlaceTags; a tag may name another image since.
	Tags []provenance.Tag `json:"tags,omitempty"`
	// TagsCut: it was pushed under more tags than Tags holds.
	TagsCut bool `json:"tagsCut,omitempty"`
}

// Prove writes what a manifest's bytes say into the place of its image.
func (p *Place) Prove(f manifest.Facts) {
	p.Proven = true
	p.MediaType, p.ArtifactType, p.Size, p.Config, p.Subject = f.MediaType, f.ArtifactType, f.Size, f.Config, f.Subject
	p.Children, p.Nested = f.Children, nil
	for _, c := range f.Children { // the order in which they are kept
		if slices.Contains(f.Nested, c) {
			p.Nested = append(p.Nested, c)
		}
	}
}

// Bounds of lists, each of what one organisation may fill with its own: where
// one is full, its owner is refused and nobody else is concerned.
const (
	// MaxPlaceTags: past it an image's tags are cut, and no rule that looks at
	// tags is satisfied. Whoever may push an image under tags may as well not.
	MaxPlaceTags = 64
	// MaxParents bounds a list for people.
	MaxParents = 32
	// MaxEvidence bounds the entries that an organisation hands in about an
	// image: a signer and a type each. MaxUnruled of these may be by signers that
	// no rule of the repository's policy accepts, so that signatures which anybody
	// can make below a public root keep nobody's out; MaxOfSigner by one signer.
	MaxEvidence = 256
	MaxUnruled  = 64
	MaxOfSigner = 32
	// MaxPast bounds the older pieces that an entry remembers. Where it is full
	// the one goes that is nearest to its neighbours, measured by its age.
	MaxPast = 64
	// MaxWaivers bounds an organisation's waivers of a repository that have not ended.
	MaxWaivers = 32
	MaxContext = 64
	MaxLabels  = 64
	// MaxRequests bounds the open promotions that an organisation asked for.
	MaxRequests = 256
	// MaxProposals bounds the open proposals that an organisation made.
	MaxProposals = 64
	// MaxClaims bounds the claims on one registry; each was voted for.
	MaxClaims = 4096
)

// Parents are some of the indexes that list a platform image, newest last, at
// most MaxParents. Anybody who may push makes them, so nothing is decided by
// which they are; that there are any lets evidence about the image in.
type Parents struct {
	Indexes []provenance.Digest `json:"indexes"`
}

// Add notes an index, and tells whether that was news.
func (p *Parents) Add(index provenance.Digest) bool {
	if slices.Contains(p.Indexes, index) {
		return false
	}
	p.Indexes = append(p.Indexes, index)
	p.Indexes = p.Indexes[max(0, len(p.Indexes)-MaxParents):]
	return true
}

// Carrier is the index through which a platform image was released last.
type Carrier struct {
	Index provenance.Digest `json:"index"`
}

// Clock is the ledger's own clock: a time that gateways move on about once a
// minute. What depends on time reads it, so that an endorsement which was kept
// back until the clock moved is invalid.
type Clock struct {
	At  time.Time `json:"at"`
	Seq uint64    `json:"seq"` // counts ticks
}

// Gap says when the clock moved again after it had stood still.
type Gap struct {
	At time.Time `json:"at"`
}

// hashOf returns the hex SHA-256 over texts, each after its length, so that no
// two lists of texts run together.
func hashOf(texts ...string) string {
	var b []byte
	for _, t := range texts {
		b = append(binary.AppendUvarint(b, uint64(len(t))), t...)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Witness is one organisation's own sight of an image at its registry.
type Witness struct {
	MSP string `json:"msp"`
	Act
}

// Waivers are the waivers of a repository that one organisation asked for and
// that have not ended.
type Waivers struct {
	Waivers []Waiver `json:"waivers"`
}

// Waiver is an exception to one rule of one stage, for one image or, with a
// zero Digest, for the repository.
type Waiver struct {
	ID         string                `json:"id"` // Hash
	Host       provenance.Host       `json:"host"`
	Repository provenance.Repository `json:"repository"`

	Stage     string            `json:"stage"`
	Rule      string            `json:"rule"`
	Digest    provenance.Digest `json:"digest,omitzero"`
	Reason    string            `json:"reason"`
	Until     time.Time         `json:"until"`
	Approvers []Approver        `json:"approvers"`
	Revoked   bool              `json:"revoked,omitempty"`
	// Revocation says who revoked it and why.
	Revocation *Revocation `json:"revocation,omitempty"`
	Act
}

// Hash is the hex SHA-256 over all that was asked for, by whom and when: what
// an approver agrees to.
func (w Waiver) Hash() string {
	return hashOf("waiver 1", string(w.Host), string(w.Repository), w.Digest.String(), w.Stage, w.Rule, w.Reason,
		w.Until.UTC().Format(time.RFC3339Nano), w.By.MSP, w.By.Name, w.At.UTC().Format(time.RFC3339Nano))
}

// Revocation ends a waiver, or takes back a request, before its time.
type Revocation struct {
	Reason string `json:"reason"`
	Act
}

// Labels are what a registry's owner says about a repository.
type Labels struct {
	Labels map[string]string `json:"labels"`
	Act
}

// Context is what an organisation publishes for conditions.
type Context struct {
	Values map[string]policy.Value `json:"values"`
	Act
}

// Tag is what a tag names now and named before.
type Tag struct {
	Digest   provenance.Digest `json:"digest,omitzero"` // zero: the tag was deleted
	Previous provenance.Digest `json:"previous,omitzero"`
	Moves    uint64            `json:"moves"` // times it was set, moved or deleted
	At       time.Time         `json:"at"`
}

// Encode writes a record as it stands on the ledger; equal records have equal
// bytes on every peer.
func Encode(record any) ([]byte, error) {
	var b []byte
	var err error
	if m, ok := record.(encoding.BinaryMarshaler); ok {
		b, err = m.MarshalBinary()
	} else {
		b, err = json.Marshal(record)
	}
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "encode %T", record)
	}
	return b, nil
}

// Answer writes a record, or anything built of records, as JSON: what a
// transaction returns.
func Answer(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "encode %T", v)
	}
	return b, nil
}

// Decode reads a record. Bytes that are no such record are an Internal error:
// only the contract writes them.
func Decode(b []byte, record any) error {
	var err error
	if m, ok := record.(encoding.BinaryUnmarshaler); ok {
		err = m.UnmarshalBinary(b)
	} else {
		err = json.Unmarshal(b, record)
	}
	if err != nil {
		return provenance.Wrap(provenance.Internal, err, "decode %T", record)
	}
	return nil
}
