// Package channel is what organisations agree on before and while they share a channel: the descriptor in
// which each says who it is (and by which certificates its consenter is known), the channel's first block made
// of descriptors, and the changes of its configuration.
//
// Nothing here starts a process, and nothing needs another organisation's key: descriptors, blocks and
// configuration updates are public, and what they say is read from their bytes.
package channel
