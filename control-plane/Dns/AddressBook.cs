using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Globalization;
using System.IO.Compression;
using System.Net;
using System.Text;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Dns;

/// <summary>
/// Which name was given which virtual addresses, and when it was last in use: what all control planes of a mesh share as one entry of a store, so
/// that a change of it is a whole one or none. No address stands in it twice. Immutable.
/// </summary>
internal sealed class AddressBook
{
    private const string FirstLine = "mesh addresses 1";
    private const int MostBytes = 64 * 1024 * 1024;

    /// <summary>A book of these leases.</summary>
    public AddressBook(ImmutableSortedDictionary<ServiceName, AddressLease> leases)
    {
        Leases = leases;
        Taken = leases.Values.SelectMany(lease => lease.Addresses).ToFrozenSet();
    }

    /// <summary>Nothing was given out yet.</summary>
    public static AddressBook Empty { get; } = new(ImmutableSortedDictionary<ServiceName, AddressLease>.Empty);

    /// <summary>The leases by name.</summary>
    public ImmutableSortedDictionary<ServiceName, AddressLease> Leases { get; }

    /// <summary>All addresses in it.</summary>
    public FrozenSet<IPAddress> Taken { get; }

    /// <summary>Reads what <see cref="Write"/> wrote; a <see cref="FormatException"/> says what is wrong.</summary>
    public static AddressBook Read(ReadOnlyMemory<byte> content)
    {
        var lines = Unpack(content).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        if (lines is not [FirstLine, ..]) throw new FormatException("it is no book of addresses of this version");
        var leases = ImmutableSortedDictionary.CreateBuilder<ServiceName, AddressLease>();
        var seen = new HashSet<IPAddress>();
        foreach (var line in lines.Skip(1))
        {
            var (name, lease) = ReadLine(line);
            if (!leases.TryAdd(name, lease)) throw new FormatException($"{name} stands in it twice");
            if (lease.Addresses.FirstOrDefault(address => !seen.Add(address)) is { } twice) throw new FormatException($"{twice} is given to two names, one is {name}");
        }

        return new AddressBook(leases.ToImmutable());
    }

    /// <summary>Its bytes: packed lines of text.</summary>
    public byte[] Write()
    {
        var text = new StringBuilder(FirstLine).Append('\n');
        foreach (var (name, lease) in Leases)
            text.Append(CultureInfo.InvariantCulture, $"{name} {lease.Used.ToUnixTimeSeconds()} {string.Join(' ', lease.Addresses)}\n");
        using var packed = new MemoryStream();
        using (var brotli = new BrotliStream(packed, CompressionLevel.Optimal)) brotli.Write(Encoding.ASCII.GetBytes(text.ToString()));
        return packed.ToArray();
    }

    private static (ServiceName Name, AddressLease Lease) ReadLine(string line)
    {
        var words = line.Split(' ');
        if (words.Length < 2 || ServiceName.Parse(words[0]) is not { } name
            || !long.TryParse(words[1], NumberStyles.None, CultureInfo.InvariantCulture, out var used) || used > DateTimeOffset.MaxValue.ToUnixTimeSeconds())
            throw new FormatException($"'{line}' is no name, time and addresses");
        var addresses = ImmutableArray.CreateBuilder<IPAddress>();
        foreach (var word in words.Skip(2)) addresses.Add(IPAddress.TryParse(word, out var address) ? address : throw new FormatException($"'{word}' of {words[0]} is no address"));
        return (name, new AddressLease(addresses.ToImmutable(), DateTimeOffset.FromUnixTimeSeconds(used)));
    }

    private static string Unpack(ReadOnlyMemory<byte> content)
    {
        try
        {
            using var brotli = new BrotliStream(new MemoryStream(content.ToArray()), CompressionMode.Decompress);
            using var text = new MemoryStream();
            var buffer = new byte[64 * 1024];
            for (int read; (read = brotli.Read(buffer)) > 0; text.Write(buffer, 0, read))
            {
                if (text.Length > MostBytes) throw new FormatException($"it is larger than {MostBytes} bytes");
            }

            return Encoding.ASCII.GetString(text.GetBuffer(), 0, (int)text.Length);
        }
        catch (Exception e) when (e is InvalidDataException or InvalidOperationException)
        {
            throw new FormatException("it is not packed as a book of addresses is", e);
        }
    }
}

/// <summary>The addresses of a name. Immutable.</summary>
/// <param name="Addresses">IPv4 before IPv6, at most one of each.</param>
/// <param name="Used">When a control plane last had a service of that name, to some hours.</param>
internal sealed record AddressLease(ImmutableArray<IPAddress> Addresses, DateTimeOffset Used);
