using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Telemetry;

/// <summary>
/// Turns entries into lines: Istio's text format, or JSON with the same keys. What a client can choose is escaped, so that nobody can forge
/// a line. Used by the one writer of the log; not thread safe.
/// </summary>
internal sealed class AccessLogLines(AccessLogFormat format, TimeProvider time)
{
    private static readonly JsonWriterOptions JsonOptions = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private readonly StringBuilder line = new(512);

    /// <summary>Appends one line.</summary>
    public void Write(in AccessLogEntry entry, IBufferWriter<byte> output)
    {
        if (format == AccessLogFormat.Json) WriteJson(entry, output);
        else WriteText(entry, output);
    }

    private void WriteText(in AccessLogEntry entry, IBufferWriter<byte> output)
    {
        line.Clear();
        line.Append('[').Append(entry.StartText).Append("] \"");
        Escape(OrDash(entry.Method)).Append(' ');
        Escape(OrDash(entry.Path)).Append(' ');
        Escape(OrDash(entry.Protocol)).Append("\" ").Append(entry.Status).Append(' ');
        line.Append(Failures.Of(entry.Failure).Flag).Append(' ').Append(OrDash(entry.Details)).Append(" - ");
        Quoted(entry.FailureDetail);
        line.Append(entry.BytesReceived).Append(' ').Append(entry.BytesSent).Append(' ').Append(Milliseconds(entry.Duration)).Append(' ');
        line.Append(entry.UpstreamTicks == 0 ? "-" : UpstreamMilliseconds(entry).ToString(CultureInfo.InvariantCulture)).Append(' ');
        Quoted(entry.ForwardedFor);
        Quoted(entry.UserAgent);
        Quoted(entry.RequestId);
        Quoted(entry.Authority);
        Quoted(entry.UpstreamHost);
        line.Append(OrDash(entry.UpstreamCluster)).Append(" - ").Append(OrDash(entry.DownstreamLocal)).Append(' ');
        line.Append(OrDash(entry.DownstreamRemote)).Append(" - ");
        Escape(OrDash(entry.Route)).Append('\n');
        foreach (var chunk in line.GetChunks()) Encoding.UTF8.GetBytes(chunk.Span, output);
    }

    private void WriteJson(in AccessLogEntry entry, IBufferWriter<byte> output)
    {
        using (var json = new Utf8JsonWriter(output, JsonOptions))
        {
            json.WriteStartObject();
            json.WriteString("start_time", entry.StartText);
            Text("method", entry.Method);
            Text("path", entry.Path);
            Text("protocol", entry.Protocol);
            json.WriteNumber("response_code", entry.Status);
            json.WriteString("response_flags", Failures.Of(entry.Failure).Flag);
            Text("response_code_details", entry.Details);
            Text("connection_termination_details", "");
            Text("upstream_transport_failure_reason", entry.FailureDetail);
            json.WriteNumber("bytes_received", entry.BytesReceived);
            json.WriteNumber("bytes_sent", entry.BytesSent);
            json.WriteNumber("duration", Milliseconds(entry.Duration));
            if (entry.UpstreamTicks == 0) json.WriteNull("upstream_service_time");
            else json.WriteString("upstream_service_time", UpstreamMilliseconds(entry).ToString(CultureInfo.InvariantCulture));
            Text("x_forwarded_for", entry.ForwardedFor);
            Text("user_agent", entry.UserAgent);
            Text("request_id", entry.RequestId);
            Text("authority", entry.Authority);
            Text("upstream_host", entry.UpstreamHost);
            Text("upstream_cluster", entry.UpstreamCluster);
            Text("upstream_local_address", "");
            Text("downstream_local_address", entry.DownstreamLocal);
            Text("downstream_remote_address", entry.DownstreamRemote);
            Text("requested_server_name", "");
            Text("route_name", entry.Route);
            json.WriteEndObject();

            void Text(string key, string value)
            {
                if (value.Length == 0) json.WriteNull(key);
                else json.WriteString(key, value);
            }
        }

        output.Write("\n"u8);
    }

    private long UpstreamMilliseconds(in AccessLogEntry entry) => entry.UpstreamTicks * 1000 / time.TimestampFrequency;

    private static long Milliseconds(TimeSpan duration) => (long)duration.TotalMilliseconds;

    private static string OrDash(string value) => value.Length == 0 ? "-" : value;

    private void Quoted(string value)
    {
        line.Append('"');
        Escape(OrDash(value)).Append("\" ");
    }

    private StringBuilder Escape(string value)
    {
        foreach (var c in value)
        {
            if (c is '"' or '\\') line.Append('\\').Append(c);
            else if (char.IsControl(c) || c is '\u2028' or '\u2029') line.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}");
            else line.Append(c);
        }

        return line;
    }
}
