// Package chaos runs the whole of Waybill while things are killed: a real
// network, a real registry and two gateways, pushers, senders that retry as
// registries do, and a proxy before the hook that loses, repeats, delays and
// reorders. When all is healed and a sweep has looked, test/chaos/check compares what
// senders were promised with the blocks of every peer, the queue and the indexes.
//
//	go test -v ./test/chaos -chaos.seed 7 -chaos.length 20m -chaos.events 40000
//
// The seed chooses the schedule, what is sent and pushed, and what becomes of
// each notification. It does not fix the clock: a run repeats its choices and
// not its interleaving.
package chaos
