package operation

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// replier returns the replier for the method's i-th filter.
func (r *registration) replier(m *event.MethodDesc, c *Handler, i int) *client.Replier {
	of, err := r.of.front.Client()
	if err != nil {
		return nil // Start reports it
	}
	replier, err := of.NewReplier(client.ReplierSettings{
		Operation: m.Operation, Filter: r.prefix.text + m.Filters[i],
		QoS: m.Reply.QoS, Topics: m.Reply.Topics,
		Prefix: func(topic string) string {
			levels, _ := r.prefix.cut(topic)
			return levels
		},
		Param: func(topic, name string) string { return c.params.read(topic)[name] },
		Field: func(body any, name string) string {
			in, ok := body.(proto.Message)
			if !ok {
				return ""
			}
			v, err := fieldLevel(in, name)
			if err != nil {
				return "" // has no place in a topic
			}
			return v
		},
	})
	if err != nil {
		r.fail(fmt.Errorf("%s: %w", m.Operation, err))
	}
	return replier
}
