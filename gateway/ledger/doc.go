// Package ledger is the one door to Fabric: it endorses, submits and asks for
// the fate of transactions, evaluates queries and follows blocks through the
// gateway service of the organisation's own peer.
//
// Nothing it submits is believed until a block says so: a successful submit
// means that a quorum of orderers took the transaction, no more. Every call
// carries a deadline; every error carries a provenance code and says which
// organisation or node stood in the way.
package ledger
