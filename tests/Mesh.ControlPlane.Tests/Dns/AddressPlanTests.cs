using System.Net;
using System.Net.Sockets;
using Mesh.ControlPlane.Dns;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Tests.Model;

namespace Mesh.ControlPlane.Tests.Dns;

/// <summary>Who gets which address, for how long, and what becomes of it after that.</summary>
public sealed class AddressPlanTests
{
    private static readonly DateTimeOffset Start = new(2030, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly PlanTerms Terms = new(NetworkTerms.DefaultVirtualRanges, Start) { MayReplace = true };

    [Fact]
    public void Every_name_gets_one_of_each_family_and_keeps_it()
    {
        var names = Names(5000);
        var book = AddressPlan.Next(AddressBook.Empty, names, Terms);
        Assert.Equal(5000, book.Leases.Count);
        Assert.Equal(10_000, book.Taken.Count);
        Assert.All(book.Leases.Values, lease =>
        {
            Assert.True(Terms.Ranges[0].Contains(lease.Addresses[0]));
            Assert.True(Terms.Ranges[1].Contains(lease.Addresses[1]));
        });
        Assert.Same(book, AddressPlan.Next(book, names, Terms with { Now = Start.AddHours(5) }));
        var more = AddressPlan.Next(book, Names(5001), Terms);
        Assert.All(book.Leases, pair => Assert.Equal(pair.Value.Addresses.AsEnumerable(), more.Leases[pair.Key].Addresses));
    }

    [Fact]
    public void The_same_name_gets_the_same_address_whoever_gives_it_out_and_in_whatever_order()
    {
        var one = AddressPlan.Next(AddressBook.Empty, Names(100), Terms);
        var other = AddressBook.Empty;
        foreach (var name in Names(100).Reverse()) other = AddressPlan.Next(other, other.Leases.Keys.Append(name).ToHashSet(), Terms);
        Assert.Equal(one.Leases.Select(pair => $"{pair.Key} {string.Join(' ', pair.Value.Addresses)}"), other.Leases.Select(pair => $"{pair.Key} {string.Join(' ', pair.Value.Addresses)}"));
    }

    [Theory]
    // hours since the last use, all services are known for a while, a sidecar lags -> the lease is still there
    [InlineData(29, true, false, true)]
    [InlineData(31, true, false, false)]
    [InlineData(31, false, false, true)]
    [InlineData(31, true, true, true)]
    [InlineData(1000, true, true, true)]
    public void An_address_is_nobody_elses_before_a_day_is_over_and_everybody_has_forgotten_it(int hours, bool complete, bool lags, bool kept)
    {
        var book = AddressPlan.Next(AddressBook.Empty, new HashSet<ServiceName> { Given.Name("gone") }, Terms);
        var next = AddressPlan.Next(book, new HashSet<ServiceName>(), Terms with { Now = Start.AddHours(hours), MayDrop = complete, SomebodyLags = () => lags });
        Assert.Equal(kept, next.Leases.ContainsKey(Given.Name("gone")));
        // What was put off for a sidecar that lags is over when it does no more, and holds for other control planes, too.
        if (lags) Assert.True(AddressPlan.Next(next, new HashSet<ServiceName>(), Terms with { Now = Start.AddHours(hours + 1), MayDrop = true }).Leases.ContainsKey(Given.Name("gone")));
        if (lags) Assert.Empty(AddressPlan.Next(next, new HashSet<ServiceName>(), Terms with { Now = Start.AddHours(hours + 3), MayDrop = true }).Leases);
    }

    [Fact]
    public void A_name_in_use_stays_however_old_the_book_is_and_is_noted_some_times_a_day()
    {
        var names = new HashSet<ServiceName> { Given.Name("web") };
        var book = AddressPlan.Next(AddressBook.Empty, names, Terms);
        for (var hour = 1; hour <= 48; hour++)
        {
            var next = AddressPlan.Next(book, names, Terms with { Now = Start.AddHours(hour), MayDrop = true });
            Assert.Equal(hour % 7 == 0, !ReferenceEquals(next, book));
            Assert.Equal(book.Leases[Given.Name("web")].Addresses.AsEnumerable(), next.Leases[Given.Name("web")].Addresses);
            book = next;
        }
    }

    [Fact]
    public void A_full_range_gives_all_it_has_and_no_address_twice()
    {
        var small = Terms with { Ranges = [IPNetwork.Parse("10.1.0.0/24"), IPNetwork.Parse("10.2.0.0/30"), IPNetwork.Parse("10.3.0.0/32")] };
        var book = AddressPlan.Next(AddressBook.Empty, Names(300), small);
        Assert.Equal(254 + 2 + 1, book.Taken.Count);
        Assert.DoesNotContain(IPAddress.Parse("10.1.0.0"), book.Taken.AsEnumerable());
        Assert.DoesNotContain(IPAddress.Parse("10.1.0.255"), book.Taken.AsEnumerable());
        Assert.Contains(IPAddress.Parse("10.3.0.0"), book.Taken.AsEnumerable());
        Assert.Same(book, AddressPlan.Next(book, Names(300), small));
        // Room for one: who has none gets it, nobody else loses his.
        var room = AddressPlan.Next(book, Names(300), small with { Ranges = [.. small.Ranges, IPNetwork.Parse("10.4.0.0/32")] });
        Assert.Equal(258, room.Taken.Count);
        Assert.All(book.Leases, pair => Assert.Equal(pair.Value.Addresses.AsEnumerable(), room.Leases[pair.Key].Addresses));
    }

    [Fact]
    public void Other_ranges_give_other_addresses_but_two_control_planes_do_not_take_turns()
    {
        var names = Names(3);
        var book = AddressPlan.Next(AddressBook.Empty, names, Terms);
        var other = Terms with { Ranges = [IPNetwork.Parse("100.64.0.0/10")] };
        Assert.Same(book, AddressPlan.Next(book, names, other with { MayReplace = false }));
        Assert.Empty(AddressPlan.Valid(book, other.Ranges));
        var replaced = AddressPlan.Next(book, names, other);
        Assert.All(replaced.Leases.Values, lease => Assert.True(other.Ranges[0].Contains(lease.Addresses.Single())));
        Assert.Equal(3, AddressPlan.Valid(replaced, other.Ranges).Count());
    }

    [Theory]
    [InlineData("240.0.0.0/4", 268435454)]
    [InlineData("10.0.0.0/31", 2)]
    [InlineData("10.0.0.1/32", 1)]
    [InlineData("fd00::/126", 2)]
    public void Ranges_count(string range, long total) => Assert.Equal((UInt128)total, new AddressChoice([IPNetwork.Parse(range)]).Total);

    [Fact]
    public void A_book_is_read_as_it_was_written_and_small()
    {
        var book = AddressPlan.Next(AddressBook.Empty, Names(5000), Terms);
        var bytes = book.Write();
        Assert.True(bytes.Length < 200 * 1024, $"{bytes.Length} bytes");
        var read = AddressBook.Read(bytes);
        Assert.Equal(book.Leases.Keys, read.Leases.Keys);
        Assert.All(book.Leases, pair => Assert.Equal(pair.Value.Addresses.AsEnumerable(), read.Leases[pair.Key].Addresses));
        Assert.All(book.Leases, pair => Assert.Equal(pair.Value.Used, read.Leases[pair.Key].Used));
        Assert.All(read.Leases.Values, lease => Assert.Equal(AddressFamily.InterNetwork, lease.Addresses[0].AddressFamily));
    }

    [Theory]
    [InlineData("", "no book of addresses")]
    [InlineData("mesh addresses 2\n", "no book of addresses")]
    [InlineData("mesh addresses 1\nweb 1 240.0.0.1\n", "'web 1 240.0.0.1' is no name, time and addresses")]
    [InlineData("mesh addresses 1\ndefault/web now 240.0.0.1\n", "is no name, time and addresses")]
    [InlineData("mesh addresses 1\ndefault/web 1 240.0.0.x\n", "'240.0.0.x' of default/web is no address")]
    [InlineData("mesh addresses 1\ndefault/web 1 240.0.0.1\ndefault/web 1 240.0.0.2\n", "default/web stands in it twice")]
    [InlineData("mesh addresses 1\ndefault/web 1 240.0.0.1\ndefault/cart 1 240.0.0.1\n", "240.0.0.1 is given to two names, one is default/cart")]
    public void A_wrong_book_is_refused_whole(string text, string words)
    {
        using var packed = new MemoryStream();
        using (var brotli = new System.IO.Compression.BrotliStream(packed, System.IO.Compression.CompressionLevel.Fastest)) brotli.Write(System.Text.Encoding.ASCII.GetBytes(text));
        Assert.Contains(words, Assert.Throws<FormatException>(() => AddressBook.Read(packed.ToArray())).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Bytes_of_something_else_are_no_book() => Assert.Throws<FormatException>(() => AddressBook.Read(new byte[] { 1, 2, 3, 4, 5, 6, 7, 8 }));

    private static HashSet<ServiceName> Names(int count) => [.. Enumerable.Range(0, count).Select(number => Given.Name($"shop/service-{number}"))];
}
