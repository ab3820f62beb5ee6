package mqtt

import (
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// ReplyTopics sets the response topics that repliers publish to, as templates that are
// bound to the request. A template consists of text, of parameters of the request's topic,
// and of an optional # at the end for all levels below. A parameter has its name in the
// template of a generated method, as in "reply/{device_id}/#", or the number of the
// wildcard in the filter, as in "reply/{1}/#". The sender of a request chooses where its
// reply is sent; with a bound template it can make the service publish only on topics that
// belong to the topic that it may publish on. An invalid template, or one without a
// parameter, is an error of Start and of registrations.
//
// These templates replace those of the methods (ReplyRule.topics). When the option is
// given again the last one applies; without arguments it allows no template. Topics of the
// form inbox/<client id>/<random UUID>, which Request uses, are always allowed. A reply to
// any other topic is dropped, see [RegisterReplier]. Default: the templates of the method,
// or else reply/, followed by the values of all parameters of the request's topic in
// order, and /#: "reply/7/#" for a request on "devices/7/state". A topic without
// parameters has no default. The number of replies per requester is configured with
// broker/mqtt's WithSubscriberConfig.
func ReplyTopics(templates ...string) ServerOption {
	return set(func(s *client.Settings) { s.ReplyTopics = append([]string{}, templates...) })
}

// UnboundReplyTopics allows additional response topics that are not bound to the request:
// topics, and with # at the end all topics below; "#" allows all except those that start
// with $. Every client that may send a request can then make the service publish to all
// readers of these topics. A template with a parameter is an error of Start and of
// registrations. When the option is given again the last one applies. Default: none.
func UnboundReplyTopics(filters ...string) ServerOption {
	return set(func(s *client.Settings) { s.UnboundReplyTopics = append([]string{}, filters...) })
}
