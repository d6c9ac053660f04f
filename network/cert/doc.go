// Package cert keeps an organisation's certificates from surprising anybody: it lists them with the time they
// have left, renews them one at a time while everything runs, revokes them, and brings new authorities
// in beside the old ones.
//
// It works on one organisation's folder and on nothing of another's. What the channel pins (an orderer's
// enrolment certificate, authorities, revocation lists) it prepares, and switches to once the channel's
// configuration has it; see the package channel for the vote between the two.
//
// A renewed certificate and its key lie in a generation of their own below pairs/, and what the nodes read
// are symbolic links through pairs/NAME/current: one rename switches both, as Kubernetes does it with
// mounted secrets. Whatever dies at whatever point, every node finds a certificate with its key.
//
//	pairs/admin/1/{cert.pem,key.pem}    as it was
//	pairs/admin/2/{cert.pem,key.pem}    as it is
//	pairs/admin/current -> 2
//	pairs/admin/next -> 3               prepared: somebody has to sign, or to vote, first
//	people/admin/cert.pem -> ../../pairs/admin/current/cert.pem
package cert
