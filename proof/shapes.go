package proof

// The messages of Fabric 3 that a proof is made of, by the numbers of their fields.
var shapes = map[string]shape{ //nolint:gochecknoglobals // a constant table
	"google.protobuf.Timestamp": {1: number, 2: number},

	"common.Block":                {1: part, 2: part, 3: part},
	"common.BlockHeader":          {1: number, 2: octets, 3: octets},
	"common.BlockData":            {1: parts},
	"common.BlockMetadata":        {1: parts},
	"common.Metadata":             {1: octets, 2: parts},
	"common.MetadataSignature":    {1: octets, 2: octets, 3: octets},
	"common.IdentifierHeader":     {1: number, 2: octets},
	"common.OrdererBlockMetadata": {1: part, 2: octets},
	"common.LastConfig":           {1: number},

	"common.Envelope":        {1: octets, 2: octets},
	"common.Payload":         {1: part, 2: octets},
	"common.Header":          {1: octets, 2: octets},
	"common.ChannelHeader":   {1: number, 2: number, 3: part, 4: text, 5: text, 6: number, 7: octets, 8: octets},
	"common.SignatureHeader": {1: octets, 2: octets},

	"common.ConfigEnvelope": {1: part, 2: part},
	"common.Config":         {1: number, 2: part},
	"common.ConfigGroup":    {1: number, 2: entries, 3: entries, 4: entries, 5: text},
	"common.ConfigValue":    {1: number, 2: octets, 3: text},
	"common.ConfigPolicy":   {1: number, 2: part, 3: text},
	"common.Policy":         {1: number, 2: octets},
	"common.Orderers":       {1: parts},
	"common.Consenter":      {1: number, 2: text, 3: number, 4: text, 5: octets, 6: octets, 7: octets},
	"common.Capabilities":   {1: entries},
	"orderer.ConsensusType": {1: text, 2: octets, 3: number},

	"msp.MSPConfig":                   {1: number, 2: octets},
	"msp.FabricMSPConfig":             {1: text, 2: parts, 3: parts, 4: parts, 5: parts, 6: part, 7: parts, 8: part, 9: parts, 10: parts, 11: part},
	"msp.FabricNodeOUs":               {1: number, 2: part, 3: part, 4: part, 5: part},
	"msp.FabricOUIdentifier":          {1: octets, 2: text},
	"msp.SerializedIdentity":          {1: text, 2: octets},
	"protos.Transaction":              {1: parts},
	"protos.TransactionAction":        {1: octets, 2: octets},
	"protos.ChaincodeActionPayload":   {1: octets, 2: part},
	"protos.ChaincodeEndorsedAction":  {1: octets, 2: parts},
	"protos.Endorsement":              {1: octets, 2: octets},
	"protos.ProposalResponsePayload":  {1: octets, 2: octets},
	"protos.ChaincodeAction":          {1: octets, 2: octets, 3: part, 4: part},
	"protos.ChaincodeID":              {1: text, 2: text, 3: text},
	"protos.Response":                 {1: number, 2: text, 3: octets},
	"protos.ChaincodeHeaderExtension": {2: part},
	"protos.ChaincodeProposalPayload": {1: octets},
	"protos.ChaincodeInvocationSpec":  {1: part},
	"protos.ChaincodeSpec":            {1: number, 2: part, 3: part, 4: number},
	"protos.ChaincodeInput":           {1: parts},
	"protos.ProcessedTransaction":     {1: part, 2: number},

	"rwset.TxReadWriteSet": {1: number, 2: parts},
	"rwset.NsReadWriteSet": {1: text, 2: octets, 3: parts},
	"kvrwset.KVRWSet":      {1: parts, 2: parts, 3: parts, 4: parts},
	"kvrwset.KVRead":       {1: text, 2: part},
	"kvrwset.KVWrite":      {1: text, 2: number, 3: octets},
	"kvrwset.Version":      {1: number, 2: number},

	"map": {1: text, 2: part}, // the entry of every map: a name, and a message
}

// parse takes a message apart; what is the message's full name.
func parse(what string, b []byte) (fields, error) { return shapes[what].parse(what, b) }
