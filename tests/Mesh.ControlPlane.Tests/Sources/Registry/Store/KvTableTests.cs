using FsCheck;
using FsCheck.Fluent;
using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Tests.Sources.Registry.Store;

public sealed class KvTableTests
{
    [Theory]
    [InlineData("a/", "a/1 a/2")]
    [InlineData("a", "a a/1 a/2 ab")]
    [InlineData("", "A a a/1 a/2 ab b")]
    [InlineData("zz", "")]
    [InlineData("a/1", "a/1")]
    public void A_prefix_is_a_range_of_keys_in_byte_order(string prefix, string keys)
    {
        var table = Table("b", "ab", "a/2", "a", "A", "a/1");
        Assert.Equal(keys.Split(' ', StringSplitOptions.RemoveEmptyEntries), table.Under(prefix).Select(e => e.Key));
    }

    [Fact]
    public void The_index_of_a_prefix_grows_when_a_key_under_it_goes()
    {
        var table = Table("dir/a", "dir/b", "else");
        Assert.Equal(2UL, table.IndexUnder("dir/"));
        table = table.Without("dir/a", 9);
        Assert.Equal(9UL, table.IndexUnder("dir/"));
        Assert.Equal(3UL, table.IndexUnder("else"));
        Assert.Equal(9UL, table.IndexUnder("nowhere"));
    }

    [Fact]
    public void Deletions_are_remembered_up_to_a_bound()
    {
        var table = Table("keep");
        for (var i = 0UL; i < KvTable.MaxDeletions + 10; i++) table = table.Without($"gone/{i}", i + 10);
        Assert.Equal(KvTable.MaxDeletions + 19UL, table.IndexUnder("gone/"));
        Assert.Equal(1UL, table.IndexUnder("keep"));
    }

    [Fact]
    public void Setting_and_removing_in_any_order_is_what_a_dictionary_does()
    {
        var operations = Gen.Elements("a", "b", "a/b", "c").Zip(Gen.Elements(true, false)).ListOf().ToArbitrary();
        Prop.ForAll(operations, list =>
        {
            var (table, model, index) = (KvTable.Empty, new SortedDictionary<string, ulong>(StringComparer.Ordinal), 0UL);
            foreach (var (key, isSet) in list)
            {
                index++;
                if (isSet)
                {
                    table = table.With(new KvEntry(key) { ModifyIndex = index });
                    model[key] = index;
                }
                else
                {
                    table = table.Without(key, index);
                    model.Remove(key);
                }
            }

            return table.Entries.Select(e => (e.Key, e.ModifyIndex)).SequenceEqual(model.Select(m => (m.Key, m.Value)));
        }).QuickCheckThrowOnFailure();
    }

    private static KvTable Table(params string[] keys)
    {
        var table = KvTable.Empty;
        for (var i = 0; i < keys.Length; i++) table = table.With(new KvEntry(keys[i]) { ModifyIndex = (ulong)i + 1 });
        return table;
    }
}
