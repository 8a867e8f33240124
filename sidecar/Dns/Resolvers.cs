using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using Mesh.Api.Identity;
using Mesh.Api.Logging;

namespace Mesh.Sidecar.Dns;

/// <summary>Whom to ask, and how, as a resolv.conf says it. Immutable.</summary>
/// <param name="Servers">The servers, in order.</param>
/// <param name="Timeout">How long a client waits for an answer.</param>
/// <param name="Attempts">How often all servers are asked.</param>
/// <param name="Rotate">Begin with another server for each query.</param>
internal sealed record Resolvers(ImmutableArray<IPEndPoint> Servers, TimeSpan Timeout, int Attempts, bool Rotate)
{
    /// <summary>Where resolvers listen.</summary>
    public const int Port = 53;

    private const int MostServers = 3; // as the libraries
    private const int MostSeconds = 30;
    private const int MostAttempts = 5;

    /// <summary>What libraries do without a file.</summary>
    public static Resolvers Usual { get; } = new([new IPEndPoint(IPAddress.Loopback, Port)], TimeSpan.FromSeconds(5), 2, false);

    /// <summary>Reads a file's text; what is odd about a line says nothing, as in the libraries. The last word on an option holds.</summary>
    public static Resolvers Parse(string text, int port = Port)
    {
        var (servers, read) = (ImmutableArray.CreateBuilder<IPEndPoint>(), Usual);
        foreach (var line in text.Split('\n'))
        {
            var words = line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            if (words is ["nameserver", var address, ..] && servers.Count < MostServers && IPAddress.TryParse(address, out var server))
                servers.Add(new IPEndPoint(server.IsIPv4MappedToIPv6 ? server.MapToIPv4() : server, port));
            if (words is ["options", .. var options]) read = options.Aggregate(read, (r, option) => r.With(option));
        }

        return servers.Count == 0 ? read : read with { Servers = servers.ToImmutable() };
    }

    private Resolvers With(string option)
    {
        if (option == "rotate") return this with { Rotate = true };
        if (NumberOf(option, "timeout:", MostSeconds) is { } seconds) return this with { Timeout = TimeSpan.FromSeconds(seconds) };
        return NumberOf(option, "attempts:", MostAttempts) is { } attempts ? this with { Attempts = attempts } : this;
    }

    private static int? NumberOf(string option, string name, int most) =>
        option.StartsWith(name, StringComparison.Ordinal) && int.TryParse(option.AsSpan(name.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? Math.Clamp(number, 1, most)
            : null;
}

/// <summary>
/// A resolv.conf that somebody may change at any time, by writing it, by putting another in its place, or by mounting one over it: so it is read again,
/// a few seconds after the last time, when somebody asks. What cannot be read, is no file, or names nobody (somebody writes it at this moment)
/// leaves the servers that were; that is said once. Thread safe.
/// </summary>
internal sealed class ResolverFile(string path, TimeProvider time, Log log, int port = Resolvers.Port)
{
    private const int Most = 64 * 1024;
    private static readonly TimeSpan Keep = TimeSpan.FromSeconds(2);
    private readonly Lock gate = new();
    private string? text;
    private Resolvers current = Resolvers.Usual;
    private long readAt;
    private bool everRead;

    /// <summary>The file.</summary>
    public string Path => path;

    /// <summary>What is wrong with it since it was read last; empty when nothing is.</summary>
    public string Trouble { get; private set; } = "";

    /// <summary>What it says.</summary>
    public Resolvers Current
    {
        get
        {
            lock (gate)
            {
                if (everRead && time.GetElapsedTime(readAt) < Keep) return current;
                (everRead, readAt) = (true, time.GetTimestamp());
                Read();
                return current;
            }
        }
    }

    private void Read()
    {
        try
        {
            var now = RegularFiles.ReadText(path, Most);
            if (now == text && Trouble.Length == 0) return;
            var next = Resolvers.Parse(now, port);
            var namesNobody = next.Servers == Resolvers.Usual.Servers;
            (text, current) = (now, namesNobody ? next with { Servers = current.Servers } : next);
            Say(namesNobody ? "it names no server" : "");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Say(e.Message);
        }
    }

    private void Say(string trouble)
    {
        if (trouble == Trouble) return;
        Trouble = trouble;
        var asked = ("asked", string.Join(' ', current.Servers));
        if (trouble.Length > 0) log.Warn("whom to ask about names is not known from its file: those are asked that were", ("file", path), ("reason", trouble), asked);
        else log.Info("whom to ask about names is known again", ("file", path), asked);
    }
}
