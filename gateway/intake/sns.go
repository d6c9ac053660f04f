package intake

import (
	"regexp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

var (
	snsTopic = regexp.MustCompile(`^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]{1,256}$`)
	snsToken = regexp.MustCompile(`^[0-9a-f]{1,1000}$`)
)

// unwrapSNS returns what Amazon SNS wraps: the text of its Message. A body that SNS did
// not wrap (raw message delivery, or no SNS at all) is returned as it is.
//
// The message's own signature is not looked at: its certificate lies behind an address
// that the message names, and the sender has proved itself by the connector's secret,
// as EventBridge does. For the same reason a subscription is not confirmed by calling
// its SubscribeURL: whoever has the topic confirms it, with the token of the message,
// which stands in the reason for that. It is good for nothing else, and nobody could
// ask for such a subscription without the connector's secret.
func unwrapSNS(raw []byte) (message []byte, other bool, err error) {
	var in struct {
		Type    string `json:"Type"`
		Topic   string `json:"TopicArn"`
		Message string `json:"Message"`
		Token   string `json:"Token"`
	}
	if err := decode(raw, &in, "a JSON object with texts in Type, TopicArn and Message, as of Amazon SNS"); err != nil {
		return nil, false, err
	}
	switch in.Type {
	case "":
		return raw, false, nil
	case "Notification":
		return []byte(in.Message), false, nil
	case "UnsubscribeConfirmation":
		return nil, true, nil
	case "SubscriptionConfirmation":
		if snsTopic.MatchString(in.Topic) && snsToken.MatchString(in.Token) {
			return nil, false, provenance.Errorf(provenance.Invalid, "Type: a subscription that waits to be confirmed: aws sns confirm-subscription --topic-arn %s --token %s", in.Topic, in.Token)
		}
		return nil, false, provenance.Errorf(provenance.Invalid, "Type: a confirmation without topic and token of Amazon SNS")
	}
	return nil, false, provenance.Errorf(provenance.Invalid, "Type: %q is no message of Amazon SNS", clipText(in.Type))
}
