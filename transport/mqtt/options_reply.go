package mqtt

import (
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// ReplyTopics says which response topics repliers publish to, by templates that
// are bound to the request: levels of text; parameters of the request's topic, by
// their name in the template of a generated method, as in "reply/{device_id}/#", or
// by the number of the wildcard in the filter, as in "reply/{1}/#"; and # at the end
// for whatever is below. A request says itself where its reply goes, and brokers
// guard topics: so bound, it gets the service to publish only what belongs to the
// topic that it may publish on. A template without a parameter, or one that is no
// template, is an error of Start and of registrations.
//
// They count over those of the methods (ReplyRule.topics), and given again over
// those before; none at all allows none. Topics of the form
// inbox/<client id>/<random UUID>, which Request uses, are allowed besides. A reply
// to any other topic is dropped, as [RegisterReplier] says. Default: what the method
// says, else reply/, all that the request's topic has in the place of its
// parameters, in order, and /#: "reply/7/#" for a request on "devices/7/state". A
// topic without parameters has none. How many replies a requester gets is said by
// the configuration, see broker/mqtt's WithSubscriber.
func ReplyTopics(templates ...string) ServerOption {
	return set(func(s *client.Settings) { s.ReplyTopics = append([]string{}, templates...) })
}

// UnboundReplyTopics allows response topics besides, to anybody who may send a
// request: topics, and with # at the end all below; "#" allows all but those that
// start with $. Whoever may send a request then has the service publish to anybody
// who reads these topics. A template with a parameter is an error of Start and of
// registrations. Given again it counts over what it said before. Default: none.
func UnboundReplyTopics(filters ...string) ServerOption {
	return set(func(s *client.Settings) { s.UnboundReplyTopics = append([]string{}, filters...) })
}
