// Package pullclients holds who pulled, where that is no other member's business:
// a store in the private data of the own organisation, its retention, and the
// lookup for those who may ask. The channel has a hash of each client.
package pullclients
