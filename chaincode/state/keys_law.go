package state

import (
	"fmt"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// HoldKey names one organisation's quarantine of an image.
func HoldKey(d provenance.Digest, msp string) string { return Key(TypeHold, d.String(), msp) }

// PoliciesKey names the catalogue of active policies.
func PoliciesKey() string { return Key(TypePolicies) }

// PolicyKey names a version of a policy.
func PolicyKey(name string, version int) string {
	return Key(TypePolicy, name, fmt.Sprintf("%06d", version))
}

// ProposalKey names a proposal under vote.
func ProposalKey(id string) string { return Key(TypeProposal, id) }

// ProposalTextKey names what a proposal would put in force.
func ProposalTextKey(id string) string { return Key(TypeProposalText, id) }

// ChannelVotesKey names the count of the channel's changes.
func ChannelVotesKey() string { return Key(TypeChannelVotes) }

// BallotKey names an organisation's vote on a proposal.
func BallotKey(id, msp string) string { return Key(TypeBallot, id, msp) }

// TrustKeyKey names trust material of an organisation.
func TrustKeyKey(msp, name string) string { return Key(TypeKey, msp, name) }

// TrustedRootKey names a trusted root of an organisation, or with msp "" a shared one.
func TrustedRootKey(msp, name string) string { return Key(TypeTrust, msp, name) }

// RootVersionKey names a version of a trusted root.
func RootVersionKey(msp, name string, version int) string {
	return Key(TypeTrustText, msp, name, fmt.Sprintf("%06d", version))
}

// RootListKey names the list of an organisation's trusted roots, or of the shared ones.
func RootListKey(msp string) string { return Key(TypeTrusts, msp) }

// ProposedKey names what is known of a change by its hash.
func ProposedKey(change string) string { return Key(TypeProposed, change) }

// ProposalsKey names the list of an organisation's open proposals.
func ProposalsKey(msp string) string { return Key(TypeProposals, msp) }

// TakenKey names what an organisation takes back of one of its people.
func TakenKey(who policy.Person) string { return Key(TypeTaken, who.MSP, who.Name) }

// RequestsKey names the list of the open promotions that an organisation asked for.
func RequestsKey(msp string) string { return Key(TypeRequests, msp) }

// ClockKey names the ledger's clock.
func ClockKey() string { return Key(TypeClock) }

// GapKey names the time that the clock stood still after its tick seq.
func GapKey(seq uint64) string { return Key(TypeGap, fmt.Sprintf("%016x", seq)) }

// SchemaKey names the schema of the evidence type custom/<msp>/<name>.
func SchemaKey(msp, name string) string { return Key(TypeSchema, msp, name) }

// EvidenceKey names a piece of evidence.
func EvidenceKey(d provenance.Digest, typ, id string) string {
	return Key(TypeEvidence, d.String(), typ, id)
}

// EvidenceSetKey names the list of the evidence about an image that an
// organisation handed in and that counts.
func EvidenceSetKey(d provenance.Digest, msp string) string {
	return Key(TypeEvSet, d.String(), msp)
}

// EvidencePastKey names the pieces that came before an entry of an evidence set.
func EvidencePastKey(d provenance.Digest, msp string, e EvidenceEntry) string {
	return Key(TypeEvPast, d.String(), msp, e.Type, e.Signer)
}

// FirstPieceKey names what a signature came as first, of a signer's words of a type. A
// certificate may chain up to several roots, and its identity says one thing.
func FirstPieceKey(d provenance.Digest, typ string, s policy.Signer, signature string) string {
	if s.Kind == policy.SignedByCertificate {
		s.Key = ""
	}
	return Key(TypeFirstPiece, d.String(), typ, SignerID(s), signature)
}

// WitnessKey names one organisation's own sight of an image at its registry.
func WitnessKey(d provenance.Digest, host provenance.Host, repo provenance.Repository, msp string) string {
	return Key(TypeWitness, d.String(), string(host), string(repo), msp)
}

// WaiversKey names the waivers of a repository that an organisation asked for.
func WaiversKey(host provenance.Host, repo provenance.Repository, msp string) string {
	return Key(TypeWaivers, string(host), string(repo), msp)
}

// LabelsKey names the labels of a repository.
func LabelsKey(host provenance.Host, repo provenance.Repository) string {
	return Key(TypeLabels, string(host), string(repo))
}

// ContextKey names the context variables an organisation publishes.
func ContextKey(msp string) string { return Key(TypeContext, msp) }

// GateKey names what every release of an image to a stage must write while
// the membership has that version (Members.Version): an organisation that left
// endorses nothing any more, and what its peers guard could never be written again.
func (s Subject) GateKey(membership int) string {
	return Key(TypeGate, s.Stage, string(s.Host), string(s.Repository), s.Digest.String(), fmt.Sprintf("%06d", membership))
}

// ClientsKey names, in its owner's private data, the clients of a segment.
func ClientsKey(host provenance.Host, lane string, seq uint64) string {
	return Key(TypeClients, string(host), lane, fmt.Sprintf("%016x", seq))
}

// PurgedKey says, in its owner's private data, that the clients of a segment
// were purged.
func PurgedKey(host provenance.Host, lane string, seq uint64) string {
	return Key(TypePurged, string(host), lane, fmt.Sprintf("%016x", seq))
}
