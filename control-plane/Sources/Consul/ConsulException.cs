using System.Net;

namespace Mesh.ControlPlane.Sources.Consul;

/// <summary>A call to Consul that did not give what was asked for; the message says which call and what came back.</summary>
internal sealed class ConsulException : Exception
{
    private const int BodyWords = 200;

    /// <summary>Makes one for an answer with an unexpected status.</summary>
    public ConsulException(HttpMethod method, string path, HttpStatusCode status, string body)
        : base($"{method} {path}: {(int)status} {status}{(body.Length > 0 ? ": " : "")}{FirstWords(body)}") => Status = status;

    /// <summary>Makes one for a call that got no usable answer.</summary>
    public ConsulException(HttpMethod method, string path, string reason, Exception? inner = null)
        : base($"{method} {path}: {FirstWords(reason)}", inner)
    {
    }

    /// <summary>The status of the answer, or null when there was no usable one.</summary>
    public HttpStatusCode? Status { get; }

    /// <summary>A bounded line without control characters: what others send ends in our log.</summary>
    private static string FirstWords(string text)
    {
        var line = string.Create(Math.Min(text.Length, BodyWords), text, static (to, from) =>
        {
            for (var i = 0; i < to.Length; i++) to[i] = char.IsControl(from[i]) ? ' ' : from[i];
        });
        return text.Length > BodyWords ? line.TrimEnd() + "..." : line.Trim();
    }
}
