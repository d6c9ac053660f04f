// Package index is the gateway's read model: what the ledger's blocks say, in
// a shape that can be asked. It is built from blocks alone and is disposable:
// deleting it and following the channel from block 0 with the same Apply gives
// the same index (Fingerprint tells).
//
// The height of an index is the number of blocks it holds, as Fabric counts:
// the next block to apply has that number.
package index
