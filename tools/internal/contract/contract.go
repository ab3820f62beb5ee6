// Package contract distinguishes changes of AsyncAPI documents that break existing
// publishers or subscribers from those that do not.
package contract

import (
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Contract maps each property that others rely on to its value, such as "operation
// DeviceEvents.Report qos" to "1".
type Contract map[string]string

// Of returns the contract of an AsyncAPI document that protoc-gen-mqtt-asyncapi has
// written.
func Of(document []byte) (Contract, error) {
	var d struct {
		Info struct {
			Tags []struct {
				Name string `yaml:"name"`
			} `yaml:"tags"`
		} `yaml:"info"`
		Channels   map[string]channel   `yaml:"channels"`
		Operations map[string]operation `yaml:"operations"`
		Components struct {
			Messages map[string]message `yaml:"messages"`
			Schemas  map[string]schema  `yaml:"schemas"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(document, &d); err != nil {
		return nil, err
	}
	services := make([]string, len(d.Info.Tags))
	for i, tag := range d.Info.Tags {
		services[i] = tag.Name
	}
	c := make(Contract)
	for name, o := range d.Operations {
		at := "operation " + full(name, services) + " "
		ch := d.Channels[last(o.Channel.Ref)]
		c[at+"action"] = o.Action
		c[at+"topic"] = ch.Address
		c[at+"filter"] = ch.Filter
		c[at+"qos"] = strconv.Itoa(o.Bindings.MQTT.QoS)
		c[at+"retain"] = strconv.FormatBool(o.Bindings.MQTT.Retain)
		c[at+"expiry"] = strconv.FormatInt(o.Bindings.MQTT.Expiry, 10) + " s"
		c.carries(at+"message", ch, d.Components.Messages)
		if o.Reply != nil {
			c[at+"reply qos"] = strconv.Itoa(o.ReplyQoS)
			c[at+"reply topics"] = strings.Join(o.ReplyTopics, ", ")
			c.carries(at+"reply", d.Channels[last(o.Reply.Channel.Ref)], d.Components.Messages)
		}
	}
	for name, s := range d.Components.Schemas {
		for field, p := range s.Properties {
			c["field "+name+"."+oneLine(field)] = p.Protobuf
		}
		for value, number := range s.Numbers {
			c["value "+name+"."+value] = strconv.Itoa(number)
		}
	}
	return c, nil
}

// full returns the name of an operation with the package of its service. The document of
// a single package leaves it out, but versions of a package have services with the same
// names.
func full(operation string, services []string) string {
	for _, s := range services {
		if strings.HasPrefix(operation, s+".") {
			return operation
		}
	}
	for _, s := range services {
		pkg := s[:strings.LastIndexByte(s, '.')+1]
		if strings.HasPrefix(operation, s[len(pkg):]+".") {
			return pkg + operation
		}
	}
	return operation
}

// carries records the single message of a channel.
func (c Contract) carries(at string, ch channel, messages map[string]message) {
	for _, ref := range ch.Messages {
		m := messages[last(ref.Ref)]
		c[at] = m.Name + " as " + m.ContentType
	}
}

// oneLine escapes a json_name, which may have any characters, so that it stays separate
// from the value after it.
func oneLine(field string) string {
	return strings.NewReplacer(":", `\u003a`, "\n", `\n`, "\r", `\r`, `\`, `\\`).Replace(field)
}

type reference struct {
	Ref string `yaml:"$ref"`
}

type channel struct {
	Address  string               `yaml:"address"`
	Filter   string               `yaml:"x-mqtt-filter"`
	Messages map[string]reference `yaml:"messages"`
}

type operation struct {
	Action  string    `yaml:"action"`
	Channel reference `yaml:"channel"`
	Reply   *struct {
		Channel reference `yaml:"channel"`
	} `yaml:"reply"`
	ReplyQoS    int      `yaml:"x-mqtt-reply-qos"`
	ReplyTopics []string `yaml:"x-mqtt-reply-topics"`
	Bindings    struct {
		MQTT struct {
			QoS    int   `yaml:"qos"`
			Retain bool  `yaml:"retain"`
			Expiry int64 `yaml:"messageExpiryInterval"`
		} `yaml:"mqtt"`
	} `yaml:"bindings"`
}

type message struct {
	Name        string `yaml:"name"`
	ContentType string `yaml:"contentType"`
}

type schema struct {
	Properties map[string]struct {
		Protobuf string `yaml:"x-protobuf"`
	} `yaml:"properties"`
	Numbers map[string]int `yaml:"x-protobuf-values"` // of an enum
}

// last returns the last part of a reference.
func last(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }
