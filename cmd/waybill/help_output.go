package main

import "github.com/spf13/cobra"

// newOutputTopic documents what -o json and -o yaml promise: waybill help output.
func newOutputTopic() *cobra.Command {
	return &cobra.Command{
		Use: "output", Short: "What -o json and -o yaml print", DisableFlagsInUseLine: true,
		Long: `-o table is for people and may change. -o json and -o yaml are for programs:
names and meanings stay, new fields may come. Numbers are numbers, times are
RFC 3339 in UTC. Only the result is on standard output; notices and errors are
on standard error.

verify, explain
    {"image","digest","stage","verdict","height",
     "policy":{"name","version","hash"},
     "reasons":[{"rule","outcome","detail","fix"}],
     "attempt","requester":{"msp","name"},"evidenceSet","warning","until",
     "children":[{"digest","verdict"}]}
    verdict: allowed, denied, pending, quarantined or unknown
    outcome: satisfied, unmet, violated or waived
    until:   allowed with a warning now, denied from then on
    height:  the block height the verdict is true at; of a peer, at least
    attempt: which request of the promotion; hash: of the policy's text. Both
             are signed by an approver, and a gateway leaves them out
    policy is absent when none matches, fix when nothing is needed

receipt, proof
    -o is the file that is written, application/vnd.waybill.proof+json:
    waybill-verify FILE -o json prints what it says

whatever signs a transaction: promote, approve, reject, withdraw, cancel,
release, rollback, break-glass, review, quarantine, waiver request, attest,
policy propose, ...
    {"txid","block","by","result"}
    result: the verdict for decisions on a promotion;
    {"proposal","yes","no","needed"} for policy propose, member propose,
    registry add, unquarantine --of and votes; the record for the others

trust list, trust show
    {"roots":[root]} and {"root","version"}, as the ledger has them; "text" of
    the version is the trusted_root.json

evidence replay
    [{"type","id","outcome","why","location"}]
    outcome: reproduced, incomplete or differs; why is absent where reproduced

clock
    {"at","ticks","ageSeconds"}

policy diff
    {"changes":[lines]}

whatever asks: status, history, promotions, inbox, evidence, tree, policy list,
policy show, policy simulate, proposal list, key list, waiver list, queue list,
queue unusable, ...
    the gateway's answer: the messages of
    gateway/api/proto/waybill/v1/waybill.proto with their names in lower camel
    case; absent messages are left out, empty strings and lists are not

channel inspect
    {"channel","genesisHash","organizations","consenters","quorum","tolerance",
     "fields":[{"path","text","understood","want"}],"exact","differences"}
    want: what the descriptors say, where that differs

channel config
    {"channel","sequence","block","fields"}

channel show, channel submit
    {"id","title","status","yes","no","needed","state","why","sequence",
     "summary","changes":[{"path","was","becomes"}],"warnings","added",
     "removed","needs":[{"policy","met"}],"useless","becomes"}
    state: waiting, ready, in force or stale

chaincode status, chaincode approve, chaincode commit, chaincode upgrade
    {"committed":{"name","version","sequence"},"proposed":{"name","version",
     "sequence","packageID"},"approved","approvals":{MSP: bool}}

org inspect
    the descriptor, as it was signed

org status
    [{"org","node","kind","pid","address","height","health",
      "restarts":{"count","at","why"}}]

network status
    [{"org","node","kind","pid","address","height","health"}]
    health: running, behind (by more than 20 blocks), stopped or unreachable

network up
    {"channel","chaincode","genesis","orgs":[{"org","mspid","peerAddress",
     "peerTLSCA","gatewayAddress","gatewayTLSCA","enrolmentCA","people"}]}

version
    {"version","revision","go","platform"}

` + exitHelp,
	}
}
