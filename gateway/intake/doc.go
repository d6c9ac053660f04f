// Package intake turns the notifications of registries into events: it
// authenticates the sender, reads the body strictly and hands what it says to
// a durable queue. It answers 2xx only after the queue has it on disk.
//
// A notification is a hint. Nothing in a payload decides which registry is
// meant or what is dialled: the registry is the connector's, by configuration.
//
// Each kind of registry is one file with one format: how its sender proves
// itself (a secret in a header or in the address, an HMAC over the raw bytes, a
// token checked offline), what its bodies look like, and what makes two
// deliveries the same event. What they share is in auth.go, hmac.go, oidc.go,
// cloudevents.go and event.go. A new kind is a file, a line in formats, payloads
// in testdata/<kind> with their golden events, bad requests in
// testdata/hostile, a fuzz target and a guide in docs/guides.
//
// An authenticated event that means nothing here is acknowledged, and kept
// where it is about a repository: a refusal would make some senders repeat it
// for ever and others give up on the connector. What contradicts itself or
// names what no registry could hold is kept as unusable, and answered like the rest.
package intake
