package biz

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// Command asks a device to do something.
type Command struct {
	// ID is assigned by Send.
	ID       string
	DeviceID string
	Name     string
	// Arguments depend on Name; values are as decoded by encoding/json.
	Arguments map[string]any
}

// Send assigns an id to a command and publishes it. It returns the id once the
// message is accepted, which does not mean that the device has received it. An
// invalid command is a Kratos 400.
func (u *DeviceUsecase) Send(ctx context.Context, c Command) (string, error) {
	if err := c.validate(); err != nil {
		return "", err
	}
	id, err := u.newID()
	if err != nil {
		return "", fmt.Errorf("new command id: %w", err)
	}
	c.ID = id.String()
	if err := u.publisher.PublishCommand(ctx, c); err != nil {
		return "", err
	}
	return c.ID, nil
}

func (c Command) validate() error {
	v := violations{}
	v.requireName("device_id", c.DeviceID)
	v.requireName("name", c.Name)
	v.texts(map[string]string{"device_id": c.DeviceID, "name": c.Name})
	if strings.ContainsAny(c.DeviceID, "/+#") {
		v["device_id"] = "not one level of a topic"
	}
	arguments, err := json.Marshal(c.Arguments)
	if err != nil {
		v["arguments"] = "not JSON"
	}
	v.limit("arguments", string(arguments), maxContent)
	return v.err()
}
