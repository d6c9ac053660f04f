// Package oracle holds the verification of blocks in package proof to Fabric's own: the same blocks, and the same
// blocks with anything changed, must be taken or refused alike, and where they differ ours refuses more. It is a module of its
// own, so that nothing of Fabric is linked with what we ship.
package oracle
