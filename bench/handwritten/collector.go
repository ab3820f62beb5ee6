package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
)

const (
	maxBody = 512 << 10
	timeout = 5 * time.Second
)

// collector accepts reports and answers once the broker has acknowledged them.
type collector struct{ client paho.Client }

type report struct {
	Type      string `json:"report_type"`
	AppID     string `json:"app_id"`
	AppKey    string `json:"app_key"`
	EventName string `json:"event_name"`
	Content   string `json:"content"`
}

func (r *report) problem() string {
	for name, value := range map[string]string{
		"report_type": r.Type, "app_id": r.AppID, "app_key": r.AppKey, "event_name": r.EventName,
	} {
		if value == "" || len(value) > 128 {
			return name + ": want 1 to 128 bytes"
		}
	}
	for name, value := range map[string]string{"report_type": r.Type, "event_name": r.EventName, "content": r.Content} {
		if !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
			return name + ": not a text"
		}
	}
	if len(r.Content) > 64<<10 {
		return "content: more than 64 KiB"
	}
	return ""
}

type receipt struct {
	EventID  string `json:"event_id"`
	Accepted bool   `json:"accepted"`
	Reason   string `json:"error_reason"`
}

// ServeHTTP implements http.Handler.
func (c *collector) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var r report
	if err := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxBody)).Decode(&r); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if problem := r.problem(); problem != "" {
		http.Error(w, problem, http.StatusBadRequest)
		return
	}
	id, err := uuid.NewV7()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer := receipt{EventID: id.String(), Accepted: true}
	now := time.Now().UTC()
	topic, msg := topicEvent, proto.Message(&reportv1.RealTimeWarehousingData{
		EventId: answer.EventID, EventName: r.EventName, ReportData: r.Content, CreateTime: now.Format(time.RFC3339Nano),
	})
	switch {
	case r.Type != "event" && r.Type != "user":
		answer.Accepted, answer.Reason = false, "unknown report type"
	case !json.Valid([]byte(r.Content)):
		answer.Accepted, answer.Reason = false, "content is not JSON"
	}
	if !answer.Accepted {
		topic, msg = topicUser, &reportv1.AcceptStatusReportData{
			EventId: answer.EventID, DataName: r.EventName, ReportType: r.Type, ReportData: r.Content,
			ErrorReason: answer.Reason, ErrorHandling: "recorded, not processed", Status: 1,
			PartEvent: r.EventName, PartDate: now.Format(time.DateOnly),
		}
	}
	if err := c.publish(topic, msg); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func (c *collector) publish(topic string, msg proto.Message) error {
	payload, err := proto.Marshal(msg)
	if err != nil {
		return err
	}
	token := c.client.Publish(topic, 1, false, payload)
	if !token.WaitTimeout(timeout) {
		return fmt.Errorf("no acknowledgement from the broker within %v", timeout)
	}
	return token.Error()
}
