// Package intake turns the notifications of registries into events: it
// authenticates the sender, reads the body strictly and hands what it says to
// a durable queue. It answers 2xx only after the queue has it on disk.
//
// A notification is a hint. Nothing in a payload decides which registry is
// meant or what is dialled: the registry is the connector's, by configuration.
package intake
