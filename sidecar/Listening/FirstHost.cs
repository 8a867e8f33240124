using System.Net.Sockets;
using System.Text;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Listening;

/// <summary>What the client of an unknown destination says first.</summary>
internal enum FirstHost
{
    /// <summary>HTTP/1 in origin form for a host that is a service of the mesh.</summary>
    OfTheMesh,

    /// <summary>Other HTTP/1: somebody else's, or a proxy's.</summary>
    Foreign,

    /// <summary>Not HTTP/1.</summary>
    None,
}

/// <summary>
/// Looks whether a connection to nobody we know asks for a host we do; the bytes stay where they are, so that what passes on is untouched.
/// Stateless.
/// </summary>
internal static class FirstHosts
{
    /// <summary>Waits for the first bytes, for ever, and then at most <see cref="FirstBytes.HeadBound"/> for the rest of what tells.</summary>
    public static async Task<FirstHost> LookAsync(Socket client, RouteTable? table, TimeProvider time, CancellationToken cancel)
    {
        // Until somebody speaks there is nothing to look at: who says nothing, for an hour, costs no buffer.
        if (await client.ReceiveAsync(new byte[1], SocketFlags.Peek, cancel) == 0) return FirstHost.None;
        using var bound = new CancellationTokenSource(FirstBytes.HeadBound, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(bound.Token, cancel);
        using var peeking = new Peeking(client, time);
        try
        {
            while (await peeking.MoreAsync(Detection.MostBytes, both.Token))
            {
                if (Look(peeking.Bytes, table, peeking.Bytes.Length >= Detection.MostBytes) is { } found) return found;
            }
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            // It has said half of something, and nothing more.
        }

        return FirstHost.None;
    }

    /// <summary>What all bytes so far say; null when more are needed.</summary>
    internal static FirstHost? Look(ReadOnlySpan<byte> bytes, RouteTable? table, bool full)
    {
        switch (Detection.Look(bytes))
        {
            case Detected.NeedMore when !full: return null;
            case Detected.Connect: return FirstHost.Foreign;
            case Detected.Http11 or Detected.Http10: break;
            default: return FirstHost.None;
        }

        var line = bytes.IndexOf((byte)'\n');
        var space = bytes.IndexOf((byte)' ');
        if (line < 0 || space < 0 || bytes[space + 1] != (byte)'/') return FirstHost.Foreign;
        for (var rest = bytes[(line + 1)..]; ; rest = rest[(line + 1)..])
        {
            line = rest.IndexOf((byte)'\n');
            if (line < 0) return full ? FirstHost.Foreign : null;
            var field = rest[..line].TrimEnd((byte)'\r');
            if (field.IsEmpty) return FirstHost.Foreign;
            if (Value(field) is { IsEmpty: false } host) return table is not null && IsOurs(table, host) ? FirstHost.OfTheMesh : FirstHost.Foreign;
        }
    }

    private static ReadOnlySpan<byte> Value(ReadOnlySpan<byte> field) =>
        field.Length > 5 && field[4] == (byte)':' && Ascii.EqualsIgnoreCase(field[..4], "host"u8) ? field[5..].Trim(" \t"u8) : [];

    /// <summary>The host that stands for all others is nobody's.</summary>
    private static bool IsOurs(RouteTable table, ReadOnlySpan<byte> value)
    {
        const int LongestHost = 261; // a name of 255 and a port
        if (value.Length > LongestHost) return false;
        Span<char> host = stackalloc char[value.Length];
        Encoding.Latin1.GetChars(value, host);
        var found = RouteMatching.FindHost(table, host);
        return found is not null && (table.Any < 0 || !ReferenceEquals(found, table.Hosts[table.Any]));
    }
}
