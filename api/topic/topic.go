// Package topic names the MQTT topics of the service, each in this one place.
package topic

import "strings"

const (
	// ReportEvents carries report.v1.RealTimeWarehousingData.
	ReportEvents = "reports/event"
	// ReportStatuses carries report.v1.AcceptStatusReportData.
	ReportStatuses = "reports/user"
	// DeviceData is the filter of device.v1.Telemetry in JSON, one topic a
	// device: devices/{device_id}/data.
	DeviceData = "devices/+/data"

	devicePrefix = "devices/"
	deviceSuffix = "/data"
	alertPrefix  = "alerts/"
)

// Alerts is the topic of device.v1.Alert in JSON for one kind of alert.
func Alerts(kind string) string { return alertPrefix + kind }

// DeviceID returns the device that a topic matched by DeviceData belongs to,
// and false for any other topic.
func DeviceID(topic string) (string, bool) {
	rest, ok := strings.CutPrefix(topic, devicePrefix)
	if !ok {
		return "", false
	}
	id, ok := strings.CutSuffix(rest, deviceSuffix)
	if !ok || id == "" || strings.Contains(id, "/") {
		return "", false
	}
	return id, true
}
